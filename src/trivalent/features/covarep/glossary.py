"""What each of the 74 columns is: definition, unit and source."""

from __future__ import annotations

from dataclasses import dataclass

from trivalent.features.covarep.columns import check_columns


@dataclass(frozen=True)
class Definition:
    """One column in words.

    Attributes
    ----------
    text : str
    unit : str
        "1" for a ratio.
    source : str
        The paper that defines it.
    """

    text: str
    unit: str
    source: str


_SRH = "Drugman & Alwan, Interspeech 2011"
_IAIF = "Alku, Speech Communication 11, 1992"
_MSPD = "Degottex, Roebel & Rodet, TASLP 19(5), 2011"
_HMPD = "Degottex & Erro, JASMP 2014:38"
_TRUE_ENVELOPE = "Roebel & Rodet, DAFx 2005"

_SINGLE = {
    "F0": Definition(
        "Fundamental frequency: the largest summation of residual harmonics (SRH). "
        "A number also in unvoiced rows, where it means nothing",
        "Hz",
        _SRH,
    ),
    "VUV": Definition("Voicing decision: 1 voiced, 0 unvoiced", "0 or 1", _SRH),
    "NAQ": Definition(
        "Normalised amplitude quotient of the glottal flow pulse: small in a pressed voice, "
        "large in a breathy one",
        "1",
        f"Alku, Bäckström & Vilkman, JASA 112(2), 2002; inverse filtering {_IAIF}",
    ),
    "QOQ": Definition(
        "Quasi-open quotient: share of the period during which the flow is above half its maximum",
        "1",
        f"Hacki, Folia Phoniatrica 41, 1989; inverse filtering {_IAIF}",
    ),
    "H1H2": Definition(
        "Level of the first harmonic of the glottal flow derivative over the second",
        "dB",
        f"Hanson, JASA 101(1), 1997; inverse filtering {_IAIF}",
    ),
    "PSP": Definition(
        "Parabolic spectral parameter: how fast the spectrum of a glottal pulse falls, "
        "relative to a rectangle as long as the period",
        "1",
        f"Alku, Strik & Vilkman, Speech Communication 22, 1997; inverse filtering {_IAIF}",
    ),
    "MDQ": Definition(
        "Maxima dispersion quotient: how far the maxima of five wavelet bands of the residual "
        "lie from the glottal closure, in periods; large in a breathy voice",
        "1",
        "Kane & Gobl, TASLP 21(6), 2013",
    ),
    "peakSlope": Definition(
        "Slope of the largest wavelet amplitudes over seven octave bands: breathy to tense",
        "log10 amplitude per octave",
        "Kane & Gobl, Interspeech 2011",
    ),
    "Rd": Definition(
        "Shape parameter of the Liljencrants-Fant glottal model: 0.3 tense to 2.5 lax",
        "1",
        f"{_MSPD}; Fant, STL-QPSR 1995",
    ),
    "Rd_conf": Definition("Confidence of Rd: 1 where the phases fit the model", "1", _MSPD),
    "creak": Definition(
        "Posterior probability of creaky voice",
        "probability",
        "Drugman, Kane & Gobl, Computer Speech & Language 28(5), 2014",
    ),
}
_FAMILIES = {
    "MCEP": Definition(
        "Mel cepstral coefficient {i} of the true envelope (0: level)", "log amplitude", _TRUE_ENVELOPE
    ),
    "HMPDM": Definition("Mean phase distortion of the harmonics, warped band {i}", "rad", _HMPD),
    "HMPDD": Definition(
        "Mel cepstral coefficient {i} of the log deviation of the phase distortion "
        "(0: level; noisier voices deviate more)",
        "log rad",
        _HMPD,
    ),
}


def define(column: str) -> Definition:
    """Say what a column is.

    Raises
    ------
    FeatureError
        It is not one of the 74.

    Examples
    --------
    >>> define("MCEP_3").text
    'Mel cepstral coefficient 3 of the true envelope (0: level)'
    """
    check_columns([column])
    if column in _SINGLE:
        return _SINGLE[column]
    family, _, i = column.rpartition("_")
    found = _FAMILIES[family]
    return Definition(found.text.format(i=i), found.unit, found.source)
