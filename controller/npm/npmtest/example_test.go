package npmtest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/no502/no502/controller/npm/npmtest"
)

// A server behind httptest, as a client's unit test uses it.
func Example() {
	npm := npmtest.New(npmtest.Options{AdminEmail: "admin@example.com", AdminPassword: "changeme123"})
	defer npm.Close()
	npm.AddHost(npmtest.ProxyHost{DomainNames: []string{"app.example.com"}, ForwardHost: "app", ForwardPort: 8080})
	api := httptest.NewServer(npm.API())
	defer api.Close()

	resp, err := http.Post(api.URL+"/api/tokens", "application/json",
		strings.NewReader(`{"identity":"admin@example.com","secret":"wrong"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.StatusCode, string(body))
	fmt.Println(npm.Calls()[0].Method, npm.Calls()[0].Path, npm.Calls()[0].Status)
	// Output:
	// 400 {"error":{"code":400,"message":"Invalid email or password","message_i18n":"error.invalid-auth"}}
	// POST /tokens 400
}
