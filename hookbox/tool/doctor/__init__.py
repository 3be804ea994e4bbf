"""`hookbox doctor`: looks at a deployment from outside, as a browser sees it, and says what is wrong."""
