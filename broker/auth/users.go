package auth

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// User is one entry of users.yaml. Client comes before Hash, so that a file that is cut off never loses the
// binding and keeps the login.
type User struct {
	Name   string `yaml:"name"`
	Client string `yaml:"client,omitempty"` // the client id it is bound to; a prefix if it ends in *
	Cert   string `yaml:"cert,omitempty"`   // subject of the certificate that logs it in
	Hash   string `yaml:"hash,omitempty"`   // of the password, from HashPassword
	Scram  string `yaml:"scram,omitempty"`  // of the same password, from ScramVerifier
}

// ReadUsers returns the entries of users.yaml in their order, none if there is no such file.
func ReadUsers(file string) ([]User, error) {
	list, err := readUsers(file)
	if err := ifThere(err); err != nil {
		return nil, err
	}
	entries := make([]User, len(list))
	for i, u := range list {
		entries[i] = u.User
	}
	return entries, nil
}

// user is an entry whose hash and verifier have been read.
type user struct {
	User
	hash  *hash     // nil: CONNECT's password does not log it in
	scram *verifier // nil: SCRAM does not
}

// readUsers reads users.yaml:
//
//	users:
//	  - {name: press, client: press, hash: "$argon2id$v=19$…", scram: "SCRAM-SHA-256$15000:…"}
//	  - {name: oven, cert: "CN=oven,O=Plant"}
func readUsers(file string) ([]*user, error) {
	d := &document{file: file}
	var users []*user
	err := d.readList("users", func(n *yaml.Node) {
		u := d.user(n)
		if slices.ContainsFunc(users, func(o *user) bool { return o.Name == u.Name }) {
			d.problem(n, "user %q comes twice", u.Name)
		}
		if u.Cert != "" && slices.ContainsFunc(users, func(o *user) bool { return o.Cert == u.Cert }) {
			d.problem(n, "certificate %q belongs to another user already", u.Cert)
		}
		users = append(users, u)
	})
	return users, err
}

func (d *document) user(n *yaml.Node) *user {
	u := new(user)
	d.mapping(n, map[string]func(*yaml.Node){
		"name": d.text(&u.Name), "client": d.text(&u.Client), "cert": d.text(&u.Cert), "hash": d.text(&u.Hash),
		"scram": d.text(&u.Scram),
	})
	if err := CheckUserName(u.Name); err != nil {
		d.problem(n, "%v", err)
	}
	var hashErr, scramErr error
	if u.Hash != "" {
		u.hash, hashErr = parseHash(u.Hash)
	}
	if u.Scram != "" {
		u.scram, scramErr = parseVerifier(u.Scram)
	}
	if err := cmp.Or(hashErr, scramErr); err != nil {
		d.problem(n, "user %q: %v", u.Name, err)
	}
	if u.Hash == "" && u.Scram == "" && u.Cert == "" {
		d.problem(n, "user %q has neither hash nor scram nor cert", u.Name)
	}
	return u
}

// CheckUserName returns nil if name can be used in rules and topics.
func CheckUserName(name string) error {
	if len(name) > 128 || !plainName(name) || name == everyone || strings.TrimSpace(name) != name {
		return fmt.Errorf("user name %q: use 1 to 128 bytes without + # / $ %% *, control characters or spaces around it", name)
	}
	return nil
}

// CheckNewUserName returns nil if name can be used by every way of logging in, SCRAM included: there it is compared as
// SASLprep makes it.
func CheckNewUserName(name string) error {
	if err := CheckUserName(name); err != nil {
		return err
	}
	if prepared, err := saslprep(name); err != nil || prepared != name {
		return fmt.Errorf("user name %q: use its plain form, %q", name, prepared)
	}
	return nil
}

// WriteUsers replaces file, readable by its owner only, so that a reader sees the old list or the new one and never a part.
func WriteUsers(file string, users []User) error {
	text := bytes.NewBufferString("# Written by \"edge user\". Names and rules are values, never keys.\n")
	enc := yaml.NewEncoder(text)
	enc.SetIndent(2)
	if users == nil {
		users = []User{} // [] rather than null
	}
	if err := errors.Join(enc.Encode(map[string][]User{"users": users}), enc.Close()); err != nil {
		return fmt.Errorf("encode users: %w", err)
	}
	return replaceFile(file, text.Bytes())
}

// replaceFile writes a temporary file beside name, syncs it, renames it and syncs the folder.
func replaceFile(name string, content []byte) (err error) {
	folder := filepath.Dir(name)
	f, err := os.CreateTemp(folder, "."+filepath.Base(name)+".*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", name, err)
		}
	}()
	_, err = f.Write(content)
	if err = errors.Join(err, keepOwner(f, name), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), name); err != nil {
		return err
	}
	return syncFolder(folder)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}
