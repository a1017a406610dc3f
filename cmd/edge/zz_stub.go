package main

import "context"

func runRun(context.Context, []string, streams) int { return 1 }
func runDemo(context.Context, []string, streams) int { return 1 }
func runHealthy(context.Context, []string, streams) int { return 1 }
func runUser(context.Context, []string, streams) int { return 1 }
func loadPolicy(*Config) (int, error) { return 0, nil }
