// Settings of the HTTP server. Every limit has a safe default; the listener is loopback by default.
#pragma once

#include <cstdint>
#include <string>

namespace uhd {

struct NetOptions {
  std::string host = "127.0.0.1";
  int port = 8080;            // 0: any free one
  int threads = 2;            // of I/O; parsing and tokenising of requests happens on them
  std::string api_keys_file;  // one key a line; empty: no keys are asked
  std::string cors_origin;    // value of Access-Control-Allow-Origin; empty: none is sent

  int64_t max_header_bytes = 16 << 10;
  int64_t max_body_bytes = 64 << 20;
  int64_t max_total_body_bytes = 512 << 20;  // of all requests being received or waiting for an answer
  int max_connections = 1024;
  int max_requests_per_client = 256;  // running at once, by API key, or by address when no keys are asked

  int max_choices = 16;  // prompts times n of one call
  int max_messages = 1024;
  int max_images = 16;  // of one call
  int64_t max_image_bytes = 20 << 20;

  double idle_timeout_s = 75;      // between two requests of a connection
  double header_timeout_s = 10;    // first to last byte of the header
  double body_timeout_s = 60;      // the whole body
  double write_timeout_s = 30;     // one write
  double request_timeout_s = 600;  // a request that is not done by then is given up; 0: never
  double drain_timeout_s = 30;     // after SIGTERM, for what is running
};

}  // namespace uhd
