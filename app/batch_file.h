// The files of a batch, in OpenAI's form: a line of JSON for each request, and a line for each answer.
//
//   {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions", "body": {...}}
//   {"id": "batch_req_...", "custom_id": "a", "response": {"status_code", "request_id", "body"}, "error":
//   null}
#pragma once

#include <cstdint>
#include <fstream>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace uhd {

struct BatchRequest {
  std::string custom_id;
  std::string url;   // a path: /v1/chat/completions, /v1/completions or /v1/responses
  std::string body;  // JSON
};

struct BatchAnswer {
  int status = 0;
  std::string request_id;
  std::string body;  // JSON; any other text is kept as a text
};

// Reads one line. Throws an Error that says what is wrong with it.
BatchRequest parse_batch_line(std::string_view line);
// Writes one line, with its end.
std::string batch_answer_line(const std::string& custom_id, const BatchAnswer& answer);

// The requests of a file. It keeps places of lines and no bodies, so that a file may be larger than memory.
class BatchInput {
 public:
  // Reads every line. A line that is no request, or whose custom_id came before, is an Error that names it.
  explicit BatchInput(const std::string& path);

  // Returns the number of requests; those that `done` names are left out.
  size_t leave_out(const std::set<std::string>& done);
  size_t size() const { return lines_.size(); }
  // Reads a request again. One thread at a time may call it.
  BatchRequest read(size_t index);

 private:
  struct Line {
    std::string custom_id;
    std::streamoff at = 0;
    size_t bytes = 0;
  };
  std::string path_;
  std::ifstream file_;
  std::vector<Line> lines_;
};

// The answers of a file, which one run may extend after another. A run that was cut off may have left a part
// of a line, which goes.
class BatchOutput {
 public:
  // Opens or makes the file, for this process alone. A file that holds anything but answers is an Error, and
  // stays as it is.
  explicit BatchOutput(const std::string& path);
  ~BatchOutput();
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;

  const std::set<std::string>& answered() const { return answered_; }
  // Appends a line, or none of it: a line that cannot be written is an Error, and so is each that follows.
  // One thread at a time.
  void append(const std::string& line);

 private:
  std::string path_;
  int file_ = -1;
  std::set<std::string> answered_;
  std::string failure_;  // the failure to write an earlier line; empty: none
};

}  // namespace uhd
