package session

import (
	"cmp"

	"edge/broker/topic"
)

func compareFilters(a, b topic.Filter) int { return cmp.Compare(a, b) }
