package npmtest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// databaseFile is below DataDir what database.sqlite is to NPM: with it the rows
// and tokens survive also the end of the process.
const databaseFile = "database.json"

// saveDelay gathers the writes of a moment into one file.
const saveDelay = 200 * time.Millisecond

type savedTable struct {
	Last int
	Rows []row
}

type savedTwoFactor struct {
	Secret string
	On     bool
	Backup []string
}

type savedDatabase struct {
	Tables  map[string]savedTable
	Key     []byte
	Hashes  map[int][]byte
	Perms   map[int]row
	TwoFA   map[int]savedTwoFactor
	Setting row
}

// changed saves the database soon.
func (s *Server) changed() {
	if s.opt.DataDir == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.saving {
		s.saving = true
		time.AfterFunc(saveDelay, s.save)
	}
}

// save writes the database file, unless the server was closed; a failure shows
// in fallback_error.log.
func (s *Server) save() {
	s.saver.Lock()
	defer s.saver.Unlock()
	if s.opt.DataDir == "" || s.saved {
		return
	}
	file := filepath.Join(s.opt.DataDir, databaseFile)
	err := os.WriteFile(file+".new", encode(s.snapshotAll()), 0o600)
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		s.nginx.mu.Lock()
		defer s.nginx.mu.Unlock()
		s.nginx.log("fallback_error.log", err.Error())
	}
}

func (s *Server) snapshotAll() savedDatabase {
	d := savedDatabase{Tables: map[string]savedTable{}, Hashes: map[int][]byte{}, TwoFA: map[int]savedTwoFactor{}}
	s.store.mu.RLock()
	for name, t := range s.store.tables {
		saved := savedTable{Last: t.last}
		for _, rec := range t.order {
			saved.Rows = append(saved.Rows, rec.row)
		}
		d.Tables[name] = saved
	}
	s.store.mu.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.saving = false
	d.Key, d.Setting, d.Perms = s.secret, s.setting, map[int]row{}
	for id, h := range s.secrets {
		d.Hashes[id] = []byte(h)
	}
	for id, p := range s.perms {
		d.Perms[id] = p
	}
	for id, t := range s.twoFA {
		d.TwoFA[id] = savedTwoFactor{t.secret, t.on, append([]string(nil), t.backup...)}
	}
	return d
}

// restore reads the database file and the conf files, if there are any.
func (s *Server) restore() (found bool, err error) {
	if err := s.nginx.readPairs(); err != nil {
		return false, err
	}
	s.nginx.readTree()
	text, err := os.ReadFile(filepath.Join(s.opt.DataDir, databaseFile))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	var d savedDatabase
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(&d); err != nil {
		return false, fmt.Errorf("%s: %w", databaseFile, err)
	}
	for name, t := range d.Tables {
		for _, r := range t.Rows {
			s.store.insert(name, typed(name, r))
		}
		s.store.tables[name].last = t.Last
	}
	s.secret, s.setting = d.Key, d.Setting
	for id, h := range d.Hashes {
		s.secrets[id] = string(h)
	}
	for id, p := range d.Perms {
		s.perms[id] = p
	}
	for id, t := range d.TwoFA {
		s.twoFA[id] = &twoFactor{t.Secret, t.On, t.Backup}
	}
	return true, nil
}

// typed gives the columns of a decoded row the types that they have in memory.
func typed(table string, r row) row {
	for name, v := range r {
		switch {
		case table == "audit_log" && name == "meta":
			r[name] = json.RawMessage(encode(v))
		case name == "locations":
			list, _ := v.([]any)
			for _, l := range list {
				typed("", row(l.(map[string]any)))
			}
		default:
			if n, isNumber := v.(json.Number); isNumber {
				i, _ := n.Int64()
				r[name] = int(i)
			}
		}
	}
	return r
}
