// Receives BuildWorkPro's webhooks. Go 1.19 or newer, standard library only:
//
//	WEBHOOK_SECRET=whsec_… PORT=3000 go run receiver.go
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	tolerance    = 300 * time.Second
	bodyBytesMax = 1024 * 1024
)

var (
	timeField      = regexp.MustCompile(`^t=([0-9]{1,12})$`)
	signatureField = regexp.MustCompile(`^v1=([0-9a-f]{64})$`)
)

// verify fails unless BuildWorkPro signed these bytes just now. The body is exactly as it came: never parse it first.
func verify(secrets []string, header string, body []byte, now time.Time) error {
	if header == "" {
		return errors.New("no BuildWorkPro-Signature header")
	}
	seconds, signatures := "", [][]byte{}
	for _, field := range strings.Split(header, ",") {
		if found := timeField.FindStringSubmatch(field); found != nil && seconds == "" {
			seconds = found[1]
		} else if found := signatureField.FindStringSubmatch(field); found != nil {
			signature, _ := hex.DecodeString(found[1])
			signatures = append(signatures, signature)
		}
	}
	if seconds == "" || len(signatures) == 0 {
		return errors.New("the BuildWorkPro-Signature header is not t=<seconds>,v1=<64 hex digits>")
	}
	signed, _ := strconv.ParseInt(seconds, 10, 64)
	if age := now.Sub(time.Unix(signed, 0)); age > tolerance || age < -tolerance {
		return errors.New("the timestamp is more than 300 s away from this clock")
	}
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(seconds + "."))
		mac.Write(body)
		expected := mac.Sum(nil)
		for _, signature := range signatures {
			if hmac.Equal(signature, expected) {
				return nil
			}
		}
	}
	return errors.New("no signature fits: another secret, or the body is not the bytes that came")
}

type receiver struct {
	secrets []string
	mutex   sync.Mutex
	// The events that were handled. In production: a unique column, written in the transaction that does the work.
	handled map[string]bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, bodyBytesMax))
	if err != nil {
		http.Error(w, fmt.Sprintf("the body is larger than %d bytes", bodyBytesMax), http.StatusRequestEntityTooLarge)
		return
	}
	if err := verify(r.secrets, request.Header.Get("BuildWorkPro-Signature"), body, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // It appears in the delivery log, where you will look for it.
		return
	}
	var event struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "not handled: "+err.Error(), http.StatusInternalServerError) // Every 5xx is tried again.
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if !r.handled[event.ID] {
		// Only store the event here, in a table or a queue, and do the work after the answer.
		fmt.Println("received", event.Type, event.ID)
		if len(r.handled) >= 10_000 {
			r.handled = map[string]bool{}
		}
		r.handled[event.ID] = true
	}
	fmt.Fprintln(w, "ok")
}

func setting(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func main() {
	r := &receiver{handled: map[string]bool{}}
	// The key is the whole secret, whsec_ included. While you rotate it: the old and the new one, separated by a comma.
	for _, secret := range strings.Split(setting("WEBHOOK_SECRET", "whsec_REPLACE_ME"), ",") {
		if strings.HasSuffix(secret, "_REPLACE_ME") {
			log.Fatal("set WEBHOOK_SECRET to your endpoint's secret")
		}
		if secret != "" {
			r.secrets = append(r.secrets, secret)
		}
	}
	server := http.Server{Addr: "127.0.0.1:" + setting("PORT", "3000"), Handler: r, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
