"""The history as text and as JSON: its runs, the accuracy of their estimates, two runs side by side."""
