"""The row of the panel that names the weights in use."""

from slicer.i18n import tr as _

from magpie_core.errors import MagpieError
from magpie_core.models.card import read_card
from magpie_core.models.registry import find_model, site_versions

from .ModelChoice import askModel, chosenModel, useAllowed
from .Signal import Signal
from .WidgetState import enable


class ModelRow:
    """The weights in use with their license, and the button to choose others.

    Parameters
    ----------
    ui
        Widgets by name.

    Attributes
    ----------
    changed
        Signal(): other default weights were chosen.
    """

    def __init__(self, ui):
        self.changed = Signal()
        self._ui = ui
        ui.modelButton.connect("clicked(bool)", self.onChange)
        self.update()

    def update(self, *_ignored):
        """Show the weights in use."""
        try:
            version = site_versions().active
            chosen = version.name if version is not None else chosenModel()
            card = read_card(find_model(chosen)) if chosen else None
        except MagpieError as error:
            self._ui.modelLabel.text = str(error)
            return
        if card is None:
            text = _("asked at the first segmentation")
        elif card.license:
            text = _("{model}, {license}: {use}").format(
                model=card.title, license=card.license, use=useAllowed(card.license)
            )
        else:
            text = card.title
        self._ui.modelLabel.text = text
        enable(
            self._ui.modelButton,
            _("Your fine-tuned version is in use; roll back in the section Fine-tune first") if version else "",
            _("Choose other weights: accuracy and license"),
        )

    def onChange(self, *_ignored):
        """Ask for the weights again."""
        if askModel():
            self.update()
            self.changed.emit()
