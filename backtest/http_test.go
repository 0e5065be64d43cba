package backtest

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"weir/auth"
	"weir/pipeline"
	"weir/wire"
)

// unread is a body that nobody may read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the file is read although another backtest is under way")
	return 0, errors.New("not to be read")
}

func TestAFileIsNotParsedWhileAnotherBacktestIsUnderWay(t *testing.T) {
	a := NewAPI(APIOptions{Config: pipeline.DefaultConfig()})
	defer a.Close()
	routes := auth.NewRouter(auth.Open{}, auth.OriginPolicy{})
	a.Routes(routes)
	a.running <- struct{}{}
	w := httptest.NewRecorder()
	routes.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/backtest", unread{t}))
	if !strings.Contains(w.Body.String(), wire.CodeOverloaded) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A file that is refused does not keep the place.
	<-a.running
	for range 2 {
		w = httptest.NewRecorder()
		routes.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/backtest", strings.NewReader("nonsense")))
		if !strings.Contains(w.Body.String(), wire.CodePlanInvalid) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}
