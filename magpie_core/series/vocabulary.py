r"""Words by which scanners, hospitals and data sets name series, in the languages that were met.

A list of words is a text of regular expressions parted by spaces, in which `*` is the rest of a word, `_` a space that
may be missing, and `~` one that is there.
"""

from __future__ import annotations

import re


def words(text: str) -> re.Pattern[str]:
    """Compile a list of words, to be matched as a whole in a text whose words are parted by single spaces."""
    return re.compile(rf"(?<!\w)(?:{_alternatives(text)})(?!\w)")


def _alternatives(text: str) -> str:
    listed = [re.sub(r"(?<!\))\*", r"\\w*", word) for word in text.split()]
    return "|".join(listed).replace("_", " ?").replace("~", " ")


# What shows no plain anatomy, or not that of a brain; the first that matches is the reason given.
KINDS: dict[str, re.Pattern[str]] = {
    kind: words(text)
    for kind, text in {
        "a mask": "rois? masks? seg segm* labels? labelmap contours? rtstruct",
        "a screenshot or report": """
            screen_save* screen_shots? (electronic_)?film* processed_images? key_images? reports? mobiview documents?
            summary dose* presentation* snapshots? save
        """,
        "a localizer": """
            locs? local *locali[sz]* lokali* localizador* *scouts? survey* 3_pl(ane)? tri_plan* topogram* scano(gram)?
            smartbrain reperage plan mpr_planning
        """,
        "a calibration": "cal (cal|calibration)_head calibration (asset|array|coil)_cal* prescan* ref(erence)?_scan "
        "sense_ref* shim* noise",
        "a field map": """
            *field_map* fm fm2d gre_field* (3d)?b[01] (3d)?b[01]_map* distortion_map* *distortionmap* topup rf_map*
        """,
        "a perfusion image without contrast": "asl* *casl* *pasl* perfusion_weighted (rel)?cbf spin_label*",
        "a perfusion image": r"""
            perf* pwi dsc* dce* (rel)?cbv r?mtt ttp tmax ktrans dyn dyn(?!asuite)\w+ leakage*
        """,
        "a diffusion image": r"""
            e?dwi* dwibs dw diff* difus* dmri trace* (iso|e|d)?adc* dti* tensor b_\d{3,4} b~\d{2} \d{3,4}_b \d+_dir*
            dir\d+ noddi* multi_shell* hardi* dki ivim multi_b isotropic_image colou?r_fa (fa)?fa(_map|_colou?r)?
            \w+_diff* apparent_diffusion* resolve average_dc
        """,
        "a functional image": r"*bold* f_mri* *fmri func* resting* rest\d* rs task* mo_co* *mbep2d* sbref",
        "a spectrum": "spectro* espectro* svs* csi press steam mrsi? probe*",
        "an angiography": """
            (sag|cor|tra|ax)?tof* *mra mrv *angio* pca pc3d pc~(sag|cor|tra|ax) q_flow* flow~pc* tricks* twist*
            venogr* phlebo* arteries carotid* cow care_bolus bolus_tra[ck]*
        """,
        "a magnetization transfer image": "mt mtc mt_on mt_off mtr magnetization_transfer gre_nm *cest* aptw?",
        "a map": "*maps? *mapping t1_rho* r2 r2star mwf myelin* relaxo* t[12]_images? inv_[12] inversion_images? pdff "
        "qsm elasto*",
        "a susceptibility image": """
            swi* swan* veno_bold h(e|ae|a)mo* haem t2_(star*|stern*|etoile|estrella|stella) medic merge (gre|fe)_epi
            epi_gre
            t2w?~(\\w+~)?(eg|fgre|gre|ffe|fl2d|fe|gr|epi|me_gre) (eg|fgre|gre|ffe|fl2d)~(\\w+~)?t2
        """,
        "a projection": "mips? min_ip mean_ip projections? volume_render* render* vrt? mip_range radial",
        "a subtraction": "subs? minus subtr* sustr* soustr* sous sottr*",
        "a phase image": "(?<!in~)(?<!out~)(?<!opp~)(?<!opposed~)phases?(?!~[aplr]_[aplr]\\b) pha pha_images? "
        "mag_images? dtiphase* imaginary real_images?",
        "a short-inversion (fat-suppressed) image": "stir*",
        "a balanced or cisternography image": "fiesta* ciss* ci3d* tru_fi* true_fi* b_(ffe|tfe|ssfp) ssfp basg cosmic "
        "myelo* cisterno*",
        "the fat of a Dixon series": "fat_only fat_images?",
        "a double-inversion image": "dir~(3d|space|spc) double_(ir|inversion)",
        "a tractography": "track* tracto* fib(er|re)s?",
        "an echo-planar image": r"ep2d* epi epi\d* *segepi",
    }.items()
}
OTHER_BODY_PART = words("""
    *spine?* spinal apine colum?na coluna colonna rachis wirbel* [hbl]ws cervi* lumb* thora* neck hals cou cuello
    [clt]spine [clt]sp tls lss discs? myelon omurga kregosl* abd* karin bauch brzuch* pelvi* becken bassin bacino bacia
    liver leber foie fegato higado figado kidneys? niere* reins renal adrenal* pancrea* pankreas bili?ary mrcp bladder
    blase prostat* uter* ovar* rectum rektum bowel entero* card* heart herz coeur cuore corazon breasts? mamma* mammo*
    brust chest lung* whole_body knees? knie genoux? ginocchio rodilla joelho kolano shoulders? schulter epaule spalla
    hombro ombro hips? hufte hanche anca cadera biodro ankle wrist handgelenk hand foot feet elbow sacr* legs? thighs?
    calf tib_fib femur forearm humer* m?bh breath_h* breathh* resp rtr
""")
HEAD = words("""
    brain* head skull cran* cerebr* encef* enceph* kopf schadel hirn gehirn neuro* cerveau crane testa tete cabeza
    cabeca hjerne hoved mozg* glowa hlava kran* beyin kafa
""")
PART_OF_HEAD = words("""
    orbit* iacs? cai caes? pituit* sella* hypop* ipof* hipof* tmj sinus(es)? hippo* face cpa cavernous optic* temporal*
    nasal parotid*
""")

# A weighting without its name: pulse sequences that are used for one alone.
T1_SEQUENCES = words("""
    mp_2?_rage* (ir_)?f?spgr* fsgpr bravo* vibe* thrive* tfl3d* mdeft lava* mpr_adni turbo_flash spoiled ute
""")
FLAIR = words(r"\d?d?flair* t2f dark_fluid spc_ir fla?ir eflair")
PROTON_DENSITY = words("pd pdw dp proton* density densidad densite pd_t2")
DUAL_ECHO = words("de dual_(echo|tse|fse|se) double_(echo|tse|fse|se) dual doble_eco")

# Contrast agents, and words for having given one. The weak ones mean it only beside a T1.
_AGENT = """
    gad gado* gd gd_dtpa dtpa gadav* dotarem magnev* multihance prohance omniscan clariscan vueway elucirem primovist
    eovist artirem cyclolux gbca ferahem* contr? contrast* contrs?t kontras* konstrast* km mdc mezzo_di_contrasto
    produit_de_contraste pdc civ inj* enh enhance* ce agent bolus infusion dye tehost* контраст* контр ку σκιαγραφ*
    造影剤? 造影 增强 增強 조영*
"""
AGENT = words(_AGENT)
WEAK_AGENT = words("c ks iv k kl cm pc ev")
AFTER = words(r"""
    post p0st pos pst postcon* postgad* post(c|gd|km) after apres nach dopo tras depois po poslije posle nakon etter
    efter dupa jalkeen following delayed late despues после 后 後 후 造影後 增强后 μετα
    (avec|with|met|med|mit|com|con|cu)(?=$) (iv|civ|inj|gd|gad|km)~(pos|yes|ja|oui|si)(?=$)
""")
_NO = """
    no non not ne nil kein* without wo out sans ohne senza sin sem bez brez zonder ilman fara without avant vor voor
    antes prima before prior_to pre до без uten uden utan fore for innan przed pred prije ennen inainte geen ingen
    nessun* aucun* χωρις πριν
"""
NATIVE = words(r"""
    pre precon* pregad* pre(gd|km) nativ* natiiv* noncon* nonenh* unenh* plain blank blanco nc basal* avant vor antes
    prima before przed prije senza sans ohne sin sem bez brez zonder without wo uten uden utan fara ilman до без
    нативн* 平扫 平掃 単純 造影前
""")
# "no contrast", "ohne KM", "pre Gd": the word for the agent beside one that denies it does not count.
_NO_AFTERWARDS = "oncesi elott nelkul negative? neg none no free frei 전 前"
DENIED = re.compile(
    rf"(?<!\w)(?:(?:{_alternatives(_NO)})(?: (?:iv|ev|de|del|di|d|la|the|le|il|any|un|una|dem|der|s|c))*"
    rf" (?:{_alternatives(_AGENT)}|c|cm|pc|kl|iv|ev|con)(?: (?:agent|medium|media|mittel|{_alternatives(_AGENT)}))*"
    rf"|(?:{_alternatives(_AGENT)}|iv) (?:{_alternatives(_NO_AFTERWARDS)})|kontras\w*siz)(?!\w)"
)
# Words that tell protocols apart, and say nothing of an agent.
SAID_BY_PROTOCOLS = words(r"""
    \w*\d\w* ax* tra* sag* cor* obl* iso* fs fat* sat tse fse se gre ir tirm flair space cube vista blade propeller
    mprage bravo fspgr spgr vibe thrive tfe ffe thin thick repeat rep delayed early late brain head dixon water map
""")
# Words that only look like the ones above.
OTHER_MEANINGS = words(r"""
    (post|pre|pos|peri|intra)(~and|~und|~et|~y)?_(op|ops|operat*|surg*|resec*|bio*|rt|rtx|radi*|chemo*|treat*|tx|therap*)
    (post|pre|pos)_(fossa*|fusion|clip*|embol*|shunt|stim*|term|scan|hv|cra*|shim)
    (fat|ir|non|no|not|without|wo|sans|ohne|mag)~(fs|fat_sat*|sel|selective|suppress*|gated|angled?|prep*|accel*|norm*)
    (non|no|not|without|wo|sans|ohne)~(filter*|gap|repeat) contrasts?~(and~projections|res*|ratio|weight*)
""")
NO_AGENT = re.compile(
    r"|n|non?|none?( .*)?|n ?a?|nil|null|[0 ]+( ?(ml|cc))?|zero|negative?|neg|false|(not?|non|sin|sem) .*|w ?o.*"
    r"|(nein|nee|nej|nei|ei|ne|nao|sem|sin|sans|ohne|нет|无|無|没有|なし|없음)( .*)?"
    r"|(without|ohne|sans|senza|bez|brez|zonder|uten|uden|utan|ilman|fara|без|χωρις|w ?out).*"
    r"|(kein|aucun|nessun|ningun|nenhum|ingen|geen|zadn).*|nativ.*|plain|unenhanced|non ?contrast|pre ?contrast"
    r"|blanco|basale?"
)
# What a header says where a contrast agent was given; any other word is taken for an agent's name, and doubted.
_SURELY_AGENT = """
    gat?d* magn* multih* proh* omnis* clari* eluc* primov* vuew* dota* ablavar optimark artir* yes ja oui si da tak sim
    y true ml cc mmol да 有 あり c iv
"""
SURE_AGENT = re.compile(rf"(?:.* )?(?:{_alternatives(_AGENT + _SURELY_AGENT)})(?!\w).*|[\d .]+\w*")
NOT_SAID = re.compile("unknown|unk|unspecified|x+|tbd|anonymi[sz]ed|removed|redacted|undefined|not stated")
