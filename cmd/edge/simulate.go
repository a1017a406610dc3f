package main

import "context"

// runSimulate runs edge nodes on any MQTT broker.
func runSimulate(ctx context.Context, args []string, std streams) int { return 1 }
