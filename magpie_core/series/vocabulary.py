"""Words by which scanners, hospitals and data sets name series, in the languages that were met."""

from __future__ import annotations

import re

BEFORE_WORD, AFTER_WORD = r"(?<![^\W_])", r"(?![^\W_])"


def words(*patterns: str) -> re.Pattern[str]:
    """Compile patterns that match whole words of a text whose words are parted by single spaces."""
    return re.compile(rf"(?<!\w)(?:{'|'.join(patterns)})(?!\w)")


# What shows no plain anatomy, or not that of a brain; the first that matches is the reason told.
KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, words(*patterns))
    for kind, *patterns in (
        ("a mask", "rois?", "masks?", "seg", "segm\\w*", "labels?", "labelmap", "contours?", "rtstruct"),
        ("a screenshot or report", "screen ?save\\w*", "screen ?shots?", "(electronic )?film\\w*", "processed images?",
         "key images?", "reports?", "mobiview", "documents?", "summary", "dose\\w*", "presentation\\w*", "snapshots?"),
        ("a localizer", "loc", "locs", "local", "locali[sz]\\w*", "localis\\w*", "lokali\\w*", "localizador\\w*",
         "\\w*scouts?", "survey\\w*", "3 ?pl(ane)?", "tri ?plan\\w*", "topogram\\w*", "smartbrain", "reperage", "plan"),
        ("a calibration", "cal(ibration)?( head.*)?", "(asset|array|coil) cal\\w*", "prescan\\w*", "ref(erence)? scan",
         "sense ref\\w*", "shim\\w*", "noise"),
        ("a field map", "\\w*field ?map\\w*", "fm", "fm2d", "gre field\\w*", "(3d)?b[01]", "(3d)?b[01] ?map\\w*",
         "distortion ?map\\w*", "\\w*distortionmap\\w*", "topup", "field mapping", "rf ?map\\w*"),
        ("a perfusion image", "perf\\w*", "pwi", "dsc\\w*", "dce\\w*", "asl\\w*", "\\w*casl\\w*", "pasl", "(rel)?cb[fv]",
         "r?mtt", "ttp", "tmax", "ktrans", "dyn\\w*", "leakage\\w*"),
        ("a diffusion image", "e?dwi\\w*", "dwibs", "diff\\w*", "difus\\w*", "dmri", "trace\\w*", "(iso|e|d)?adc\\w*",
         "dti\\w*", "tensor", "b ?\\d{3,4}", "b \\d{2}", "\\d{3,4} ?b", "\\d+ ?dir\\w*", "dir\\d+", "noddi\\w*",
         "multi ?shell\\w*", "hardi\\w*", "dki", "ivim", "colou?r fa", "fa( (map|colou?r))?", "\\w+ ?diff ?\\w*",
         "apparent diffusion.*", "dw", "difusao", "resolve"),
        ("a functional image", "\\w*bold\\w*", "f ?mri\\w*", "func\\w*", "resting\\w*", "rest\\d*", "rs", "task\\w*",
         "mo ?co\\w*", "\\w*mbep2d\\w*", "ep2d\\w*", "sbref"),
        ("a spectrum", "spectro\\w*", "svs\\w*", "csi", "press", "steam", "mrs", "mrsi", "probe\\w*", "espectro\\w*"),
        ("an angiography", "tof\\w*", "\\w*mra", "mrv", "\\w*angio\\w*", "pca", "pc3d", "tricks\\w*", "twist\\w*", "venogr\\w*",
         "phlebo\\w*", "arteries", "carotid\\w*", "cow"),
        ("a magnetization transfer image", "mt", "mtc", "mt ?on", "mt ?off", "mtr", "magnetization transfer", "\\w*cest\\w*",
         "aptw?"),
        ("a map", "\\w*map", "\\w*maps", "\\w*mapping", "t1 ?rho\\w*", "r2star", "r2", "mwf", "myelin\\w*", "relaxo\\w*",
         "inv ?[12]", "inversion images?", "pdff", "qsm", "elasto\\w*"),
        ("a susceptibility image", "swi\\w*", "swan\\w*", "swip", "veno ?bold", "hemo\\w*", "haem\\w*", "hamo\\w*",
         "t2star\\w*", "t2 ?star\\w*", "mip swi", "medic", "merge", "gre epi", "fe epi", "epi gre",
         "(t2|t2w) (\\w+ )?(eg|fgre|gre|ffe|fl2d|fe|gr|epi|me ?gre)", "(eg|fgre|gre|ffe|fl2d) (\\w+ )?t2"),
        ("a projection", "mips?", "min ?ip", "mean ?ip", "projections?", "volume render\\w*", "render\\w*", "vrt?",
         "mip range", "radial"),
        ("a subtraction", "subs?", "subtr\\w*", "sustr\\w*", "soustr\\w*", "sous", "subtra\\w*", "sottr\\w*"),
        ("a phase image", "phases?", "pha", "pha images?", "mag images?", "dtiphase\\w*", "imaginary", "real images?"),
        ("a short-inversion (fat-suppressed) image", "stir\\w*"),
        ("a balanced or cisternography image", "fiesta\\w*", "ciss\\w*", "tru ?fi\\w*", "true ?fi\\w*", "b ?(ffe|tfe)",
         "myelo\\w*", "cisterno\\w*"),
        ("a tractography", "track\\w*", "tracto\\w*", "fib(er|re)s?"),
    )
)  # fmt: skip

OTHER_BODY_PART = words(
    r"\w*spine?\w*", "spinal", "colum?na", "coluna", "colonna", "rachis", "wirbel\\w*", "[hbl]ws", "cervi\\w*", "lumb\\w*",
    "thora\\w*", "neck", "hals", "cou", "cuello", "knee", "shoulder", "abd\\w*", "pelvi\\w*", "liver", "prostat\\w*",
    "card\\w*", "heart", "breast", "ankle", "wrist", "sacr\\w*", "myelon", "whole ?body", "chest", "hip", "foot", "hand",
    "elbow", "knie", "schulter", "lspine", "cspine", "tspine", "tls", "lss",
)  # fmt: skip
HEAD = words(
    "brain\\w*", "head", "skull", "cran\\w*", "cerebr\\w*", "encef\\w*", "enceph\\w*", "kopf", "schadel", "hirn", "gehirn",
    "neuro\\w*", "cerveau", "crane", "testa", "tete", "cabeza", "cabeca", "hjerne", "hoved", "mozg\\w*", "glowa", "hlava",
)  # fmt: skip
PART_OF_HEAD = words(
    "orbit\\w*", "iacs?", "cai", "caes?", "pituit\\w*", "sella\\w*", "hypop\\w*", "ipof\\w*", "hipof\\w*", "tmj", "sinus(es)?",
    "hippo\\w*", "face", "cpa", "cavernous", "optic\\w*", "temporal\\w*", "nasal", "parotid\\w*",
)  # fmt: skip

# A weighting without its name: pulse sequences that are used for one alone.
T1_SEQUENCES = words(
    "mp ?2? ?rage\\w*", "t1mprage", "(ir ?)?f?spgr\\w*", "fsgpr", "bravo\\w*", "vibe\\w*", "thrive\\w*", "tfl3d\\w*", "mdeft",
    "lava\\w*", "mpr ?adni", "turbo ?flash", "spoiled.*", "ute", "ir ?fspgr",
)  # fmt: skip
FLAIR = words("\\d?d?flair\\w*", "t2f", "dark ?fluid", "darkfluid", "flair3d", "fla?ir", "eflair")
PROTON_DENSITY = words("pd", "pdw", "dp", "proton\\w*", "density", "densidad", "densite", "pd t2", "pdt2")
DUAL_ECHO = words("de", "dual echo", "double echo", "dual", "doble eco")

# Contrast agents, and words for having given one. The weak ones mean it only beside a T1.
_AGENT = (
    "gad", "gado\\w*", "gadolin\\w*", "gd", "gd ?dtpa", "dtpa", "gadav\\w*", "dotarem", "magnev\\w*", "multihance", "prohance",
    "omniscan", "clariscan", "vueway", "elucirem", "primovist", "eovist", "artirem", "cyclolux", "gbca", "ferahem\\w*",
    "contr?", "contrast\\w*", "contrs?t", "kontras\\w*", "km", "mdc", "mezzo di contrasto", "produit de contraste", "civ",
    "inj\\w*", "enh", "enhance\\w*", "ce", "agent", "bolus", "infusion", "контраст\\w*", "контр", "ку", "造影剤?", "增强", "增強",
    "조영\\w*",
)  # fmt: skip
AGENT = words(*_AGENT)
WEAK_AGENT = words("c", "ks", "iv", "k", "cm", "pc", "ev")
_GAP = r"(?: (?:iv|ev|de|del|di|d|la|the|le|il|any|i v|un|una|dem|der))*"
AFTER = words(
    "post", "pos", "pst", "postcon\\w*", "postgad\\w*", "postgd", "postkm", "after", "apres", "nach", "dopo", "tras", "depois",
    "po", "etter", "efter", "delayed", "late", "despues", "после", "造影後", "增强后", "postc", "poscontraste", "postcont\\w*",
)  # fmt: skip
NATIVE = words(
    "pre", "precon\\w*", "pregad\\w*", "pregd", "prekm", "native?", "nativ\\w*", "noncon\\w*", "nonenh\\w*", "unenh\\w*", "plain",
    "avant", "vor", "antes", "prima", "before", "przed", "senza", "sans", "ohne", "sin", "sem", "bez", "without", "wo", "blank",
    "precontraste", "до", "без", "нативн\\w*", "平扫", "平掃", "単純", "造影前", "uten", "uden", "utan", "nc", "basal",
)  # fmt: skip
# "no contrast", "ohne KM", "pre Gd": the word for the agent beside one that denies it does not count.
DENIED = words(
    rf"(?:no|non|not|ne|nil|kein\w*|without|wo|sans|ohne|senza|sin|sem|bez|pre|avant|vor|antes|prima|before|до|без|uten|uden|utan)"
    rf"{_GAP} (?:{'|'.join(_AGENT)}|c|cm|pc)(?: (?:agent|medium|media|mittel))?"
)
# Words that only look like the ones above.
OTHER_MEANINGS = re.compile(
    r"(?<!\w)(?:post|pre|pos|peri|intra)(?: (?:and|und|et|y))? ?"
    r"(?:op|ops|operat\w*|surg\w*|resec\w*|bio\w*|rt|rtx|radi\w*|chemo\w*|treat\w*|tx|therap\w*|fossa\w*|"
    r"fusion|clip\w*|embol\w*|shunt|stim\w*|term|scan|hv|cra\w*|shim)(?!\w)"
    r"|(?<!\w)(?:fat|ir|non|no|not|without|wo|sans|ohne|mag|low|high) (?:fs|fat ?sat\w*|sel|selective|suppress\w*|gated|angled?|"
    r"prep\w*|accel\w*|norm\w*|filter\w*|gap|repeat)(?!\w)"
    r"|(?<!\w)(?:contrast|contrasts) (?:and projections|res\w*|ratio|weight\w*)(?!\w)"
)
NO_AGENT = words(
    "", "no", "non", "none?", "n", "na", "n a", "nil", "null", "0", "0 ?ml", "negative", "false", "not? .*", "none? .*", "non .*",
    "without.*", "w o.*", "wo.*", "kein\\w*.*", "ohne.*", "sans.*", "aucun\\w*.*", "nessun\\w*.*", "senza.*", "sin .*", "ningun\\w*.*",
    "nenhum\\w*.*", "sem .*", "ingen.*", "bez.*", "native?", "plain", "unenhanced", "noncontrast", "pre ?contrast", "zadn\\w*",
)  # fmt: skip
NOT_SAID = words(
    "unknown", "unk", "unspecified", "x+", "tbd", "anonymi[sz]ed", "removed", "redacted", "undefined", "not stated"
)
