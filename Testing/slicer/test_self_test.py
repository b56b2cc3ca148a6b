"""The self test of the extension on slicer-core."""

from __future__ import annotations

import unittest


def test_self_test_passes(slicer, capsys):
    from MagpieSegmentationLib.SelfTest import SelfTest

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(SelfTest)
    outcome = unittest.TestResult()
    suite.run(outcome)
    assert outcome.testsRun >= 4
    assert not [trace for _, trace in outcome.failures + outcome.errors]
