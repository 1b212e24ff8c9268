"""Write the tables of docs/openface*.md: OpenFace's columns with what each is worth, as the code says.

Usage: python tools/openface_docs.py
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trivalent.core.files import write_text_atomic
from trivalent.core.texts import Language
from trivalent.features.openface.columns import COLUMNS, INTENSITIES, PRESENCES, unit
from trivalent.features.openface.status import ColumnState, ColumnStatus, Engine, column_states

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = {Language.ENGLISH: DOCS / "openface.md", Language.CHINESE: DOCS / "openface.zh-CN.md"}
_BLOCK = re.compile(r"(<!-- openface: (columns|units) -->\n).*?(<!-- end -->)", re.DOTALL)
_MEASURED = r"(\d|1\d|2[89]|3\d|4[0-7])"  # points of the eyes: rings and lids
_PUPILS = r"(2[0-7]|4[89]|5[0-5])"


@dataclass(frozen=True)
class Group:
    """Columns that one line tells of: a name for them, the pattern of theirs, and how they come about."""

    name: str
    pattern: str
    en: str
    zh: str

    def columns(self) -> list[str]:
        """Those that fit."""
        return [name for name in COLUMNS if re.fullmatch(self.pattern, name)]


GROUPS = (
    Group("`frame`", "frame", "number of the frame, from 1", "帧号，从 1 起"),
    Group("`face_id`", "face_id", "the person who is followed", "被跟踪的人"),
    Group("`timestamp`", "timestamp", "of the frame", "该帧的时间"),
    Group(
        "`confidence`", "confidence", "probability that the landmarks are a face", "关键点确为人脸的概率"
    ),
    Group("`success`", "success", "whether there is a face", "是否有人脸"),
    Group(
        "`gaze_0_x`, `gaze_1_x`",
        "gaze_[01]_x",
        "direction of an eye: from the centre of an eyeball of 12 mm to where the ray through the iris "
        "meets it; right eye of the subject first, x to the image's right",
        "视线方向：自半径 12 mm 的眼球中心指向穿过虹膜的光线与眼球的交点；先右眼（被摄者的），x 向图像右侧",
    ),
    Group(
        "`gaze_0_y`, `_z`, `gaze_1_y`, `_z`",
        "gaze_[01]_[yz]",
        "same; y down, z away",
        "同上；y 向下，z 向远处",
    ),
    Group("`gaze_angle_x`", "gaze_angle_x", "mean of both eyes, left to right", "双眼平均，自左向右"),
    Group("`gaze_angle_y`", "gaze_angle_y", "mean of both eyes, up to down", "双眼平均，自上而下"),
    Group(
        "`eye_lmk_x_*`, `_y_*` (0-19, 28-47)",
        f"eye_lmk_[xy]_{_MEASURED}",
        "of each eye 8 points around the iris, then 12 of the lids",
        "每只眼：虹膜周围 8 点，然后眼睑 12 点",
    ),
    Group(
        "`eye_lmk_X_*`, `_Y_*`, `_Z_*` (0-19, 28-47)",
        f"eye_lmk_[XYZ]_{_MEASURED}",
        "the same before the camera; depth of our mesh about that of the lids",
        "同上，在相机前的位置；深度取自我们的网格，以眼睑的深度为基准",
    ),
    Group("`eye_lmk_*` (20-27, 48-55)", f"eye_lmk_[xyXYZ]_{_PUPILS}", "around the pupils", "瞳孔周围"),
    Group(
        "`pose_Tx`, `pose_Ty`, `pose_Tz`",
        "pose_T[xyz]",
        "place of the head: least error of the projected face",
        "头部位置：使投影误差最小",
    ),
    Group(
        "`pose_Rx`",
        "pose_Rx",
        "turn of the head about x (nodding), positive down",
        "头绕 x 轴的转角（点头），向下为正",
    ),
    Group(
        "`pose_Ry`, `pose_Rz`",
        "pose_R[yz]",
        "about y (shaking), positive to the image's left, and z (tilting)",
        "绕 y 轴（摇头），向图像左侧为正；绕 z 轴（侧倾）",
    ),
    Group("`x_0` ... `y_67`", r"[xy]_\d+", "68 landmarks", "68 个关键点"),
    Group(
        "`X_0` ... `Z_67`",
        r"[XYZ]_\d+",
        "the same before the camera: its depth, then along the ray",
        "同上，在相机前的位置：先取深度，再沿光线求得",
    ),
    Group("`p_scale`", "p_scale", "size of the fitted shape model", "拟合的形状模型的大小"),
    Group("`p_rx`, `p_ry`, `p_rz`", "p_r[xyz]", "its turn, without perspective", "其转角，不计透视"),
    Group("`p_tx`, `p_ty`", "p_t[xy]", "its place", "其位置"),
    Group("`p_0`, `p_3` ... `p_33`", r"p_(0|[3-9]|\d\d)", "its shape", "其形状"),
    Group("`p_1`, `p_2`", "p_[12]", "its shape", "其形状"),
    Group("`AU01_r` ... `AU45_r`", r"AU\d\d_r", "intensity of 17 action units", "17 个动作单元的强度"),
    Group("`AU01_c` ... `AU45_c`", r"AU\d\d_c", "presence of 18 action units", "18 个动作单元是否出现"),
)
_STATUSES = {
    Language.ENGLISH: {status: str(status) for status in ColumnStatus},
    Language.CHINESE: {
        ColumnStatus.EXACT: "完全一致",
        ColumnStatus.DERIVED: "推导",
        ColumnStatus.UNRELIABLE: "不可靠",
        ColumnStatus.NOT_MEASURABLE: "无法测量",
    },
}
_UNITS = {
    "unit vector": "单位向量",
    "intensity 0 to 5": "强度 0 到 5",
    "0 or 1": "0 或 1",
    "0 to 1": "0 到 1",
}
_COLON = {Language.ENGLISH: ": ", Language.CHINESE: "："}
_COMMA = {Language.ENGLISH: ", ", Language.CHINESE: "，"}
_HEADS = {
    Language.ENGLISH: ["columns", "number", "unit", "what", "with model files", "without"],
    Language.CHINESE: ["列", "数目", "单位", "含义", "有模型文件", "没有模型文件"],
}
_UNIT_HEADS = {
    Language.ENGLISH: ["action unit", "intensity `_r`", "presence `_c`"],
    Language.CHINESE: ["动作单元", "强度 `_r`", "是否出现 `_c`"],
}
_SOME = {Language.ENGLISH: "see below", Language.CHINESE: "见下表"}


def columns(language: Language) -> str:
    """List all columns in groups, with what each group is worth."""
    engines = [column_states(engine) for engine in (Engine.MODELS, Engine.LANDMARKS)]
    rows = []
    for group in GROUPS:
        names = group.columns()
        known = _UNITS if language is Language.CHINESE else {}
        units_of = dict.fromkeys(known.get(unit(name), unit(name)) for name in names)
        cells = [_worth([states[name] for name in names], language) for states in engines]
        what = group.en if language is Language.ENGLISH else group.zh
        rows.append([group.name, str(len(names)), ", ".join(units_of), what, *cells])
    return _table(_HEADS[language], rows)


def units(language: Language) -> str:
    """List the action units with what intensity and presence are worth with model files."""
    states = column_states(Engine.MODELS)
    rows = []
    for presence in PRESENCES:
        name = presence.removesuffix("_c")
        intensity = f"{name}_r"
        number = _figure(states[intensity], "r", language) if intensity in INTENSITIES else ""
        rows.append([name, number, _figure(states[presence], "F1", language)])
    return _table(_UNIT_HEADS[language], rows)


def page(text: str, language: Language) -> str:
    """Fill the marked parts of a page."""
    makers = {"columns": columns, "units": units}
    return _BLOCK.sub(lambda m: f"{m[1]}{makers[m[2]](language)}\n{m[3]}", text)


def _worth(states: Sequence[ColumnState], language: Language) -> str:
    """Say what columns are worth: alike, or each for itself."""
    if len({state.status for state in states}) > 1:
        return _SOME[language]
    least = min(states, key=lambda state: 1.0 if state.agreement is None else state.agreement)
    word = _STATUSES[language][least.status]
    if least.reason is None:
        return word
    if least.status is ColumnStatus.DERIVED and least.agreement is not None:
        return f"{word}{_COMMA[language]}r = {least.agreement:.2f}"
    return f"{word}{_COLON[language]}{least.reason.said(language)}"


def _figure(state: ColumnState, name: str, language: Language) -> str:
    return f"{_STATUSES[language][state.status]}{_COMMA[language]}{name} = {state.agreement:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


if __name__ == "__main__":
    for language, path in PAGES.items():
        write_text_atomic(path, page(path.read_text(encoding="utf-8"), language))
        print(path)
