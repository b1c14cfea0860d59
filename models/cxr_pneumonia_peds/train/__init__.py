"""How the weights were made: data, network, folds, figures, export. Never part of the wheel.

Source: Kermany, Zhang, Goldbaum, doi 10.17632/rscbjbr9sj.2 (CC BY 4.0).
"""
