// Counts the characters of a text area while somebody types; Streamlit itself only learns of a text
// when the field is left.

export default function ({ parentElement, data }) {
  const place = parentElement.querySelector(".tv-count");
  const number = (n) => n.toLocaleString(data.language);
  const count = () => {
    const text = document.querySelector(`.st-key-${data.field} textarea`)?.value ?? "";
    const characters = [...text].length; // as Python counts them
    const words = (text.match(/\S+/gu) ?? []).length;
    const said = data.template
      .replace("{characters}", number(characters))
      .replace("{words}", number(words))
      .replace("{most}", number(data.most));
    if (place.textContent !== said) place.textContent = said;
    place.classList.toggle("tv-over", characters > data.most);
  };
  const typed = (event) => event.target.closest?.(`.st-key-${data.field}`) && count();
  count();
  document.addEventListener("input", typed);
  const timer = setInterval(count, 400); // an example that is put into the field is no input
  return () => {
    document.removeEventListener("input", typed);
    clearInterval(timer);
  };
}
