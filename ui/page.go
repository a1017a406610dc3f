package ui

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

//go:embed web/dist
var dist embed.FS

//go:embed web/openapi.yaml
var openAPI []byte

// pageFiles serves the built bundle. Names under assets/ hold a hash of their content: they may be kept for ever.
func pageFiles() http.Handler {
	files, err := fs.Sub(dist, "web/dist")
	if err != nil {
		panic("BUG: web/dist is embedded under another name")
	}
	serve := http.FileServerFS(files)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			info, err := fs.Stat(files, strings.TrimPrefix(r.URL.Path, "/"))
			if err != nil || info.IsDir() {
				noRoute(w, r)
				return
			}
		}
		if strings.HasPrefix(r.URL.Path, "/assets/") {
			w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		} else {
			w.Header().Set("Cache-Control", "no-cache")
		}
		serve.ServeHTTP(w, r)
	})
}

func serveOpenAPI(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/yaml; charset=utf-8")
	w.Write(openAPI)
}
