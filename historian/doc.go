// Package historian keeps every sample: the head in memory, day files in bbolt, queries over both.
package historian
