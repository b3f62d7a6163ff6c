"""All methods on two tasks whose answers can be checked, at several budgets."""
