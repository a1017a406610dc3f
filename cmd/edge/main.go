// Command edge is a Sparkplug-aware industrial edge appliance in one binary.
package main

func main() {}
