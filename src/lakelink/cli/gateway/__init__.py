"""`lakelink gateway`: one module per noun."""
