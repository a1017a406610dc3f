package topic

import "strings"

const sharePrefix = "$share/"

// JoinShare is the reverse of ParseShare.
func JoinShare(share string, inner Filter) Filter {
	return Filter(sharePrefix + share + "/" + string(inner))
}

// ParseShare takes a shared subscription "$share/<name>/<filter>" apart. For any other filter share is empty and inner
// is f. A share name is not empty and holds no wildcard, and a filter follows [MQTT-4.8.2-1] [MQTT-4.8.2-2]; otherwise
// it returns ErrShare. The inner filter is not validated. 3.1.1 knows no shared subscriptions: do not ask there.
func ParseShare(f Filter) (share string, inner Filter, err error) {
	if f == "$share" {
		return "", "", ErrShare
	}
	rest, shared := strings.CutPrefix(string(f), sharePrefix)
	if !shared {
		return "", f, nil
	}
	share, after, found := strings.Cut(rest, "/")
	if !found || share == "" || after == "" || strings.ContainsAny(share, "+#") {
		return "", "", ErrShare
	}
	return share, Filter(after), nil
}
