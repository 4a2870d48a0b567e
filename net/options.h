// NetOptions holds the settings of the HTTP server. Every limit has a safe default; the listener is loopback
// by default.
#pragma once

#include <cstdint>
#include <string>

namespace uhd {

struct NetOptions {
  std::string host = "127.0.0.1";
  int port = 8080;                 // 0 means any free port
  int threads = 2;                 // I/O threads: they move bytes, and do no work that grows with a request
  int intake_threads = 3;          // threads that read small requests, and as many again for large ones
  std::string tls_certificate;     // PEM file; empty: plain HTTP
  std::string tls_key;             // PEM file of its private key
  std::string unix_socket;         // the server listens here too, without TLS; empty: nowhere
  std::string unix_mode = "0600";  // the mode of the socket's file, in octal digits
  std::string api_keys_file;       // one key a line; empty: no keys are asked
  bool open_metrics = false;       // /metrics asks for no key
  std::string cors_origin;         // web pages that may use the server, separated by commas; *: any
  std::string allowed_hosts;       // more names that the Host header may hold, separated by commas; *: any

  bool page = true;     // serve the page at "/"
  std::string samples;  // a folder with demo.json for the page; the program sets it to the checkpoint's demo/

  // A request's field that no list knows: refuse (400) | warn (the header X-Uhd-Warning names it)
  std::string unknown_fields = "refuse";

  std::string image_directory;  // images of file:// URLs lie below it; empty: such URLs are refused
  std::string image_hosts;      // images of http(s) URLs come from these, separated by commas; empty: refused
  bool image_private_addresses = false;  // those hosts may have addresses that are not public
  double image_timeout_s = 10;           // the limit for the images of one call that are fetched

  int64_t max_header_bytes = 16 << 10;
  int64_t max_body_bytes = 64 << 20;
  int64_t max_client_body_bytes = 256 << 20;  // all requests of one client; at least max_body_bytes
  int64_t max_total_body_bytes = 512 << 20;   // all bodies, and images until they are cut
  int64_t max_backlog_bytes = 8 << 20;        // bytes of an answer that its client has not read
  int max_connections = 1024;
  int max_requests_per_client = 256;  // running at once, by API key, or by address if no keys are asked

  int max_choices = 16;  // the prompts of one call times n
  int max_messages = 1024;
  int max_parts = 8192;             // parts in all messages of one call
  int max_json_values = 1'000'000;  // JSON values in one body
  int max_images = 16;              // images in one call
  int64_t max_image_bytes = 20 << 20;
  int64_t max_tokenize_bytes = 256 << 10;  // the longest text for /tokenize
  int max_detokenize_ids = 262'144;        // the most ids for /detokenize

  double idle_timeout_s = 75;      // the time between two requests of a connection
  double header_timeout_s = 10;    // the time from the header's first byte to its last
  double body_timeout_s = 60;      // the time of the whole body
  double body_pause_s = 15;        // the time between two pieces of a body
  double write_timeout_s = 30;     // the time of one write
  double stream_ping_s = 3;        // a stream that has been silent for so long sends a comment; 0: never
  double request_timeout_s = 600;  // a request that is not done by then is given up; 0: never
  double drain_timeout_s = 30;     // the time that running requests have after SIGTERM
};

}  // namespace uhd
