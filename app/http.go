package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"weir/auth"
	dashboardui "weir/dashboard-ui"
	"weir/wire"
)

const (
	readTimeout   = 10 * time.Second // of a request, header and body; not of WebSockets
	answerTimeout = time.Minute      // writing the answer
	idleTimeout   = 30 * time.Second
)

// serveHTTP begins to answer: until the stages run, with what can be told about the process.
func (a *App) serveHTTP() {
	a.routes.Store(a.baseRoutes())
	a.serve("http", a.listener, a.handler())
	if a.admin != nil {
		a.serve("admin", a.admin, hostGuard{next: adminRoutes()})
		a.log.Info("profiler", "url", "http://"+a.admin.Addr().String()+"/debug/pprof/")
	}
	if a.opts.Config.InsecureOpen {
		a.log.Warn("INSECURE: open without credentials; anyone who reaches this server can read and write everything",
			"listen", a.listener.Addr().String(), "because", "insecure_open")
	}
	if c := &a.opts.Config; !c.InsecureOpen && c.TLS.CertFile == "" && !loopback(a.listener.Addr()) {
		a.log.Warn("credentials and readings cross the network unencrypted, unless a proxy in front speaks TLS",
			"listen", a.listener.Addr().String(), "because", "tls.cert_file is not set")
	}
	if a.opts.Config.AllowsEveryOrigin() {
		a.log.Warn("INSECURE: every web page may connect; any page that a user of this server opens can read and write everything",
			"because", "allowed_origins")
	}
}

// handler is the public surface.
func (a *App) handler() http.Handler {
	current := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.routes.Load().ServeHTTP(w, r) })
	c := &a.opts.Config
	switch {
	case loopback(a.listener.Addr()), len(c.AllowedHosts) > 0:
		return hostGuard{allowed: c.AllowedHosts, next: current}
	case c.InsecureOpen:
		return hostGuard{pagesOnly: true, next: current}
	}
	return current // what a page can do under a name of its own needs credentials, which it does not have
}

func (a *App) serve(name string, l net.Listener, h http.Handler) {
	server := &http.Server{
		Handler: h, ReadHeaderTimeout: a.opts.Config.HeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: answerTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: a.opts.Config.MaxHeaderBytes,
		ErrorLog: slog.NewLogLogger(a.log.With("component", name).Handler(), slog.LevelDebug),
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			select {
			case a.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
	}()
	a.steps.push(name+" server", func() error {
		ctx, cancel := context.WithTimeout(context.Background(), a.opts.Config.StopTimeout/2)
		defer cancel()
		err := server.Shutdown(ctx)
		if err != nil {
			err = errors.Join(err, server.Close())
		}
		<-ended
		return err
	})
}

// baseRoutes are those of the process itself. The stages add theirs.
func (a *App) baseRoutes() *auth.Router {
	mux := auth.NewRouter(a.gate, a.origins())
	mux.HandleFunc("GET /healthz", auth.Public, func(w http.ResponseWriter, _ *http.Request) {
		wire.WriteJSON(w, http.StatusOK, map[string]bool{"ok": true})
	})
	mux.HandleFunc("GET /readyz", auth.Public, a.readyz)
	mux.HandleFunc("GET /metrics", a.metricsAccess(), a.metrics)
	mux.HandleFunc("GET /version", auth.Public, func(w http.ResponseWriter, _ *http.Request) { wire.WriteJSON(w, http.StatusOK, a.opts.Build.info()) })
	documents(mux)
	mux.HandleFunc("/v1/", auth.Public, func(w http.ResponseWriter, _ *http.Request) {
		if a.checks.Load() == nil {
			wire.WriteError(w, http.StatusServiceUnavailable, wire.NewError(wire.CodeNotReady, ""))
			return
		}
		wire.WriteError(w, http.StatusNotFound, wire.NewError(wire.CodeNotFound, ""))
	})
	return mux
}

func (a *App) dashboard(mux *auth.Router) {
	mux.Handle("/", auth.Public, dashboardui.Handler(dashboardui.Options{
		Insecure: a.opts.Config.InsecureOpen, Version: a.opts.Build.info().Version}))
}

func (a *App) metricsAccess() auth.Access {
	if a.opts.Config.PublicMetrics {
		return auth.Public
	}
	return auth.Hosts
}

func (a *App) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	info := a.opts.Build.info()
	fmt.Fprintf(w, "weir_build_info{version=%q,commit=%q,go=%q} 1\n", info.Version, info.Commit, info.Go)
	a.set.WritePrometheus(w)
	metrics.WriteProcessMetrics(w)
}

func adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return mux
}
