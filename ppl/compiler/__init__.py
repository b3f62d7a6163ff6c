"""Compiler: target expressions to normal form, normal forms to plans, plans explained."""
