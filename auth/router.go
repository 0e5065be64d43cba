package auth

import (
	"context"
	"net/http"
	"strings"

	"weir/wire"
)

// Access says who may use a route.
type Access uint8

const (
	// Public: anybody, such as a load balancer or a browser that is about to sign in.
	Public Access = iota
	// Deferred: the handler asks the gate itself, as WebSockets do, whose credentials may come later.
	Deferred
	// SignedIn: whoever has valid credentials; the handler asks PrincipalOf what it may touch.
	SignedIn
	// Operators: principals with RoleOperator.
	Operators
	// Publishers: principals that may send messages as programs.
	Publishers
	// Hosts: operators of no tenant, about what concerns all tenants together.
	Hosts
	// Admins: principals with RoleAdmin.
	Admins
)

// Route is an entry of a Router.
type Route struct {
	// Pattern is as http.ServeMux has it: "GET /v1/series".
	Pattern string
	Access  Access
}

// Router is an http.ServeMux of which every route says who may use it. It is complete before it serves.
type Router struct {
	mux     *http.ServeMux
	gate    Gate
	origins OriginPolicy
	routes  []Route
}

// NewRouter makes a Router without routes.
func NewRouter(gate Gate, origins OriginPolicy) *Router {
	return &Router{mux: http.NewServeMux(), gate: gate, origins: origins}
}

// Handle adds a route.
func (m *Router) Handle(pattern string, access Access, h http.Handler) {
	m.routes = append(m.routes, Route{pattern, access})
	if access > Deferred {
		h = m.guard(access, h)
	}
	m.mux.Handle(pattern, h)
}

// HandleFunc adds a route.
func (m *Router) HandleFunc(pattern string, access Access, h http.HandlerFunc) {
	m.Handle(pattern, access, h)
}

// Routes lists all routes.
func (m *Router) Routes() []Route { return m.routes }

// ServeHTTP implements http.Handler. A path that has routes, but none for the method, is answered with those there are,
// though a route for all below it would take the request; a path without routes as one that is not there.
func (m *Router) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, pattern := m.mux.Handler(r)
	switch {
	case forMethod(pattern, r):
	default:
		if allowed := m.allowed(r); len(allowed) > 0 {
			w.Header().Set("Allow", strings.Join(allowed, ", "))
			wire.WriteError(w, http.StatusMethodNotAllowed, wire.NewError(wire.CodeMethodNotAllowed, ""))
			return
		}
		if pattern == "" {
			wire.WriteError(w, http.StatusNotFound, wire.NewError(wire.CodeNotFound, ""))
			return
		}
	}
	m.mux.ServeHTTP(w, r)
}

// forMethod reports whether a pattern is for the request's method. One for all below the path, to which the library would
// send the client on by adding a slash, is not.
func forMethod(pattern string, r *http.Request) bool {
	_, path, ok := strings.Cut(pattern, " ")
	below, all := strings.CutSuffix(path, "...}")
	if !ok || !all {
		return ok
	}
	return r.URL.Path+"/" != below[:strings.LastIndexByte(below, '{')]
}

// allowed are the methods for which the request's path has routes of their own.
func (m *Router) allowed(r *http.Request) (methods []string) {
	other := *r
	for _, other.Method = range []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		if _, pattern := m.mux.Handler(&other); forMethod(pattern, r) {
			methods = append(methods, other.Method)
		}
	}
	return methods
}

func (m *Router) guard(access Access, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := m.gate.Request(r)
		if err != nil {
			Refuse(w, Refusal(err))
			return
		}
		if !access.admits(p) {
			Refuse(w, wire.NewError(wire.CodeForbidden, ""))
			return
		}
		if !m.sameSite(p, r) {
			Refuse(w, wire.NewError(wire.CodeOriginRefused, ""))
			return
		}
		next.ServeHTTP(w, r.WithContext(WithPrincipal(r.Context(), p)))
	})
}

// admits reports whether a principal may use the route.
func (a Access) admits(p *Principal) bool {
	switch a {
	case Operators:
		return p.Has(RoleOperator)
	case Publishers:
		return p.MayPublish()
	case Hosts:
		return p.Has(RoleOperator) && p.Tenant == ""
	case Admins:
		return p.Has(RoleAdmin)
	case Public, Deferred, SignedIn:
	}
	return true
}

// sameSite keeps foreign pages from acting in the name of whoever opens them: browsers send cookies and client
// certificates along, and to an open server need none.
func (m *Router) sameSite(p *Principal, r *http.Request) bool {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	switch p.Method {
	case MethodCookie, MethodCertificate, MethodNone:
		return m.origins.Allow(r)
	}
	return true
}

// Refuse answers a request that lacks credentials, or whose credentials do not do.
func Refuse(w http.ResponseWriter, e *wire.Error) {
	status := wire.StatusOf(e.Code)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="weir"`)
	}
	switch {
	case e.Code == wire.CodeLimitAddress:
		w.Header().Set("Retry-After", "10")
	case e.Code == wire.CodeLimitPrincipal && w.Header().Get("Retry-After") == "":
		w.Header().Set("Retry-After", "3")
	}
	wire.WriteError(w, status, e)
}

type principalKey struct{}

// WithPrincipal says in a context who speaks.
func WithPrincipal(ctx context.Context, p *Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalOf is who speaks. A route that is not public always has one.
func PrincipalOf(ctx context.Context) *Principal {
	p, _ := ctx.Value(principalKey{}).(*Principal)
	return p
}
