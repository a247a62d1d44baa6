// What runs in the pods of the sandbox's real node: the pause container, or an example service.
//
// As "pause" it holds a pod's namespaces and ends on SIGTERM. As "serve" it answers on PORT (8080): /healthz with
// 200 once READY_AFTER_S seconds have gone by ("never": with 503), everything else with its VERSION as JSON. With
// CRASH_AFTER_S it ends with status 1 after so many seconds, and says so.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

var version = "unset" // filled in by the linker

func main() {
	command := "serve"
	if len(os.Args) > 1 {
		command = os.Args[1]
	}
	switch command {
	case "--version":
		fmt.Println("pod", version)
	case "pause":
		pause()
	case "serve":
		serve()
	default:
		log.Fatalf("pod: %q is none of: pause, serve, --version", command)
	}
}

func pause() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM)
	// The pod's orphans come to process 1: it takes them.
	signal.Ignore(syscall.SIGCHLD)
	<-ended
}

func serve() {
	began := time.Now()
	if text, set := os.LookupEnv("CRASH_AFTER_S"); set {
		time.AfterFunc(seconds("CRASH_AFTER_S", text), func() {
			log.Fatalf("pod: ended by CRASH_AFTER_S=%s", text)
		})
	}
	readyText := os.Getenv("READY_AFTER_S")
	var readyAfter time.Duration
	if readyText != "" && readyText != "never" {
		readyAfter = seconds("READY_AFTER_S", readyText)
	}
	http.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if readyText == "never" || time.Since(began) < readyAfter {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		host, _ := os.Hostname()
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Version", os.Getenv("VERSION"))
		json.NewEncoder(w).Encode(map[string]string{"version": os.Getenv("VERSION"), "pod": host})
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	log.Printf("pod: serving version %q on port %s", os.Getenv("VERSION"), port)
	log.Fatal((&http.Server{Addr: ":" + port, ReadHeaderTimeout: 5 * time.Second}).ListenAndServe())
}

func seconds(name, text string) time.Duration {
	number, err := strconv.ParseFloat(text, 64)
	if err != nil {
		log.Fatalf("pod: %s=%q is no number of seconds", name, text)
	}
	return time.Duration(number * float64(time.Second))
}
