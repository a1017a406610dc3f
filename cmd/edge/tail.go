package main

import "context"

// runTail prints live Sparkplug messages, decoded.
func runTail(ctx context.Context, args []string, std streams) int { return 1 }
