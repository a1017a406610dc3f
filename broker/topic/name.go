// Package topic holds topic names, topic filters and the matching tree; pure.
package topic

// Name is a topic name: UTF-8, at least one character, no wildcard, no NUL.
type Name string

// Filter is a topic filter, which may hold the wildcards + and #.
type Filter string
