"""The choice of the default weights: asked once, remembered in Slicer's settings, shown with their license."""

import os

import slicer
from slicer.i18n import tr as _

from magpie_core.errors import Cancelled
from magpie_core.imaging.glioma import Region
from magpie_core.models.card import read_card
from magpie_core.models.registry import installed_models, is_noncommercial, site_versions

_KEY = "MAGPIE/DefaultModel"
_JOBS = ("segment", "rank", "explain", "attention", "finetune")  # the kinds that use weights


def chosenModel():
    """Return the name of the default weights chosen by the user, else by MAGPIE_DEFAULT_MODEL; empty for none yet."""
    name = slicer.app.userSettings().value(_KEY) or os.environ.get("MAGPIE_DEFAULT_MODEL")
    return name if name in [folder.name for folder in installed_models()] else ""


def withChosenModel(job):
    """Return a job of the worker with the chosen weights, unless it needs none, names some, or the site has its own."""
    if job["kind"] not in _JOBS or job.get("model") or site_versions().active is not None:
        return job
    return {**job, "model": chosenModel() or None}


def ensureModel():
    """Ask which default weights to use, unless they were chosen before or the site has a version of its own.

    Raises
    ------
    Cancelled
        If the user does not choose.
    """
    if site_versions().active is None and not chosenModel() and not askModel():
        raise Cancelled(_("No weights were chosen"))


def askModel():
    """Ask which default weights to use, and remember them; returns their name, empty if the user cancels."""
    cards = {folder.name: read_card(folder) for folder in installed_models()}
    names = sorted(cards, key=lambda name: is_noncommercial(cards[name].license))
    import qt  # scripts without a window use the rest of this file

    box = qt.QMessageBox(slicer.util.mainWindow())
    box.windowTitle = _("Weights for the segmentation")
    box.setTextFormat(qt.Qt.RichText)
    box.text = _question([cards[name] for name in names])
    for name in names:
        box.addButton(name, qt.QMessageBox.ActionRole)
    box.addButton(qt.QMessageBox.Cancel)
    box.exec_()
    clicked = box.clickedButton()
    chosen = clicked.text.replace("&", "") if clicked is not None else ""  # some styles add a mnemonic
    if chosen not in cards:
        return ""
    slicer.app.userSettings().setValue(_KEY, chosen)
    return chosen


def _question(cards):
    """Return the question with a table of the models: license, and accuracy on cases that all were measured on."""
    shared = set.intersection(*(set(card.figures) for card in cards))
    titles = (_("Weights"), _("License"), *(region.label for region in Region))
    head = "".join(f"<th align='left'>{text}&nbsp;&nbsp;</th>" for text in titles)
    rows = []
    for card in cards:
        figures = next((card.figures[title] for title in card.figures if title in shared or not shared), {})
        dice = [f"{figures[region]:.2f}" if region in figures else "" for region in Region]
        cells = (card.title, f"{card.license}<br>{useAllowed(card.license)}", *dice)
        rows.append("".join(f"<td style='white-space: nowrap'>{text}&nbsp;&nbsp;</td>" for text in cells))
    table = "".join(f"<tr>{row}</tr>" for row in (head, *rows))
    measured = _("Numbers: mean Dice of {cases}.").format(cases=", ".join(sorted(shared)))
    return "<p>{question}</p><table>{table}</table><p>{measured} {later}</p>".format(
        question=_("Which weights shall MAGPIE use?"),
        table=table,
        measured=measured if shared else "",
        later=_("You can change this in the section Segment. Every report names the weights and their license."),
    )


def useAllowed(licenseId):
    """Return what a license allows, in a few words."""
    return _("research only, no commercial use") if is_noncommercial(licenseId) else _("commercial use allowed")
