"""Synthetic studies with gliomas: anatomy, growth, contrast and acquisition."""
