"""What tracing costs, measured side by side in one run: without any, with the stock instrumentations, with ours."""
