// Receives Buildmarkets' webhooks. Go 1.19 or newer, standard library only:
//
//	WEBHOOK_SECRET=whsec_… PORT=3000 go run receiver.go
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
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
	digits         = regexp.MustCompile(`^[0-9]{1,12}$`)
	signatureValue = regexp.MustCompile(`^v1,([A-Za-z0-9+/]{43}=)$`)
)

// verify fails unless Buildmarkets signed these bytes just now. The body is exactly as it came: never parse it first.
func verify(key []byte, header http.Header, body []byte, now time.Time) error {
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		if header.Get(name) == "" {
			return fmt.Errorf("no %s header", name)
		}
	}
	id, seconds := header.Get("webhook-id"), header.Get("webhook-timestamp")
	if !digits.MatchString(seconds) {
		return errors.New("the webhook-timestamp header is not a number of seconds")
	}
	signatures := [][]byte{}
	for _, value := range strings.Split(header.Get("webhook-signature"), " ") {
		if found := signatureValue.FindStringSubmatch(value); found != nil {
			signature, _ := base64.StdEncoding.DecodeString(found[1])
			signatures = append(signatures, signature)
		}
	}
	if len(signatures) == 0 {
		return errors.New("the webhook-signature header has no v1,<base64 of 32 bytes>")
	}
	signed, _ := strconv.ParseInt(seconds, 10, 64)
	if age := now.Sub(time.Unix(signed, 0)); age > tolerance || age < -tolerance {
		return errors.New("the timestamp is more than 300 s away from this clock")
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + seconds + "."))
	mac.Write(body)
	expected := mac.Sum(nil)
	// Several while a secret is rotated: one that fits is enough.
	for _, signature := range signatures {
		if hmac.Equal(signature, expected) {
			return nil
		}
	}
	return errors.New("no signature fits: another secret, or the body is not the bytes that came")
}

type receiver struct {
	key   []byte
	mutex sync.Mutex
	// The events that were handled. In production: a unique column, written in the transaction that does the work.
	handled map[string]bool
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, bodyBytesMax))
	if err != nil {
		http.Error(w, fmt.Sprintf("the body is larger than %d bytes", bodyBytesMax), http.StatusRequestEntityTooLarge)
		return
	}
	if err := verify(r.key, request.Header, body, time.Now()); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest) // It appears in the delivery log, where you will look for it.
		return
	}
	id := request.Header.Get("webhook-id") // The event's: the same each time that it is sent.
	var event struct {
		Type string          `json:"event_type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		http.Error(w, "not handled: "+err.Error(), http.StatusInternalServerError) // Every 5xx is tried again.
		return
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if !r.handled[id] {
		// Only store the event here, in a table or a queue, and do the work after the answer.
		fmt.Println("received", event.Type, id)
		if len(r.handled) >= 10_000 {
			r.handled = map[string]bool{}
		}
		r.handled[id] = true
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
	secret := setting("WEBHOOK_SECRET", "whsec_REPLACE_ME")
	if strings.HasSuffix(secret, "_REPLACE_ME") {
		log.Fatal("set WEBHOOK_SECRET to your endpoint's secret")
	}
	// The key is what the secret, without whsec_, is the base64 of; its padding may be missing.
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimPrefix(secret, "whsec_"), "="))
	if err != nil || len(key) == 0 {
		log.Fatal("WEBHOOK_SECRET is not base64")
	}
	r := &receiver{key: key, handled: map[string]bool{}}
	server := http.Server{Addr: "127.0.0.1:" + setting("PORT", "3000"), Handler: r, ReadTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
