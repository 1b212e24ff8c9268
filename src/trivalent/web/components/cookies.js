// Has the server set or clear a cookie that scripts cannot read, and keeps the language for the next visit.

export default function ({ data }) {
  if (data.language) {
    document.cookie = `trivalent_language=${data.language}; path=/; max-age=31536000; samesite=strict`;
    document.documentElement.lang = data.language === "zh" ? "zh-Hans" : "en";
  }
  if (data.session && data.session !== window.trivalentSession) {
    window.trivalentSession = data.session; // a ticket is good for one use
    fetch(data.url, { method: "POST", headers: { "X-Trivalent-Ticket": data.session } });
  }
}
