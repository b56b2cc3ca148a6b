"""From images as a scanner gives them to the model grid, and back."""
