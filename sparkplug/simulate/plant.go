package simulate

// Plant is a small plant in group "plant": press, oven, conveyor and utilities.
func Plant() []NodeSpec { return nil }
