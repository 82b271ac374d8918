"""A script that ends before it has submitted anything."""

orders = {"2025-11-01": 17}
print("reading the orders of 2025-11-02")
print(orders["2025-11-02"])
