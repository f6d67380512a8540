"""What was measured, and the scripts that measured it: `python -m experiments.NAME` writes
results/NAME.json.
"""
