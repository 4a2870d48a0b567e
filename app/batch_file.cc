#include "app/batch_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "base/error.h"
#include "base/hash.h"

namespace uhd {
namespace {

namespace json = boost::json;

constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";  // some editors begin UTF-8 with it
constexpr size_t kLongestLine = size_t{256} << 20;
constexpr size_t kLongestCustomId = 512;
constexpr std::string_view kAnswerBegins = R"({"id":"batch_req_)";

json::object object_of(std::string_view line) {
  boost::system::error_code wrong;
  json::value value = json::parse(line, wrong);
  require(!wrong, "it is no JSON: ", wrong.message());
  require(value.is_object(), "it is no JSON object");
  return std::move(value.get_object());
}

std::string text_at(const json::object& object, const char* key) {
  const json::value* value = object.if_contains(key);
  require(value != nullptr && value->is_string(), "'", key, "' must be a text");
  return std::string(value->get_string());
}

void check_body(const json::object& body) {
  const json::value* stream = body.if_contains("stream");
  require(stream == nullptr || stream->is_null() || *stream == false,
          "'body.stream' must be false in a batch");
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

// A file without its last newline was cut off within a line; that must look like an answer's beginning.
bool begins_an_answer(std::string_view rest) {
  const size_t common = std::min(rest.size(), kAnswerBegins.size());
  return rest.substr(0, common) == kAnswerBegins.substr(0, common);
}

// Devices and pipes may never end.
void require_file(const std::string& path) {
  std::error_code unknown;
  const auto status = std::filesystem::status(path, unknown);
  require(!std::filesystem::exists(status) || std::filesystem::is_regular_file(status), path, ": is no file");
}

}  // namespace

BatchRequest parse_batch_line(std::string_view line) {
  const json::object object = object_of(line);
  BatchRequest request{text_at(object, "custom_id"), text_at(object, "url"), ""};
  require(!request.custom_id.empty() && request.custom_id.size() <= kLongestCustomId,
          "'custom_id' must have 1 to ", kLongestCustomId, " bytes");
  require(text_at(object, "method") == "POST", "'method' must be POST");
  require(request.url == "/v1/chat/completions" || request.url == "/v1/completions" ||
              request.url == "/v1/responses",
          "'url' must be /v1/chat/completions, /v1/completions or /v1/responses");
  const json::value* body = object.if_contains("body");
  require(body != nullptr && body->is_object(), "'body' must be an object");
  check_body(body->get_object());
  request.body = json::serialize(*body);
  boost::system::error_code wrong;
  json::parse(request.body, wrong);
  require(!wrong, "'body' has a number that is too large");  // it became an infinity, which JSON lacks
  return request;
}

std::string batch_answer_line(const std::string& custom_id, const BatchAnswer& answer) {
  boost::system::error_code wrong;
  json::value body = json::parse(answer.body, wrong);
  if (wrong) body = json::string(answer.body);
  const json::object line{{"id", "batch_req_" + fingerprint({bytes_of(custom_id)}).hex().substr(0, 24)},
                          {"custom_id", custom_id},
                          {"response", json::object{{"status_code", answer.status},
                                                    {"request_id", answer.request_id},
                                                    {"body", std::move(body)}}},
                          {"error", nullptr}};
  return json::serialize(line) + '\n';
}

BatchInput::BatchInput(const std::string& path) : path_(path), file_(path, std::ios::binary) {
  require_file(path);
  require(file_.good(), path, ": cannot be read");
  std::set<std::string> seen;
  std::string line;
  std::streamoff at = 0;
  for (int number = 1; std::getline(file_, line); ++number) {
    if (number == 1 && line.starts_with(kByteOrderMark)) {
      line.erase(0, kByteOrderMark.size());
      at = std::ssize(kByteOrderMark);
    }
    const size_t bytes = line.size();
    try {
      require(bytes <= kLongestLine, "it has more than ", kLongestLine, " bytes");
      if (!is_blank(line)) {
        std::string id = parse_batch_line(line).custom_id;
        require(seen.insert(id).second, "another line has the custom_id '", id, "', too");
        lines_.push_back({std::move(id), at, bytes});
      }
    } catch (const Error& error) {
      throw Error(message(path, ", line ", number, ": ", error.what()));
    }
    at += static_cast<std::streamoff>(bytes) + 1;
  }
  require(!file_.bad(), path, ": cannot be read");
}

size_t BatchInput::leave_out(const std::set<std::string>& done) {
  return std::erase_if(lines_, [&](const Line& line) { return done.contains(line.custom_id); });
}

BatchRequest BatchInput::read(size_t index) {
  const Line& line = lines_[index];
  std::string text(line.bytes, '\0');
  file_.clear();
  file_.seekg(line.at);
  file_.read(text.data(), static_cast<std::streamsize>(text.size()));
  require(file_.good() || file_.eof(), path_, ": cannot be read");
  BatchRequest request = parse_batch_line(text);
  require(request.custom_id == line.custom_id, path_, ": was changed meanwhile");
  return request;
}

BatchOutput::BatchOutput(const std::string& path)
    : path_(path), file_(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644)) {
  require(file_ >= 0, path, ": cannot be written: ", std::strerror(errno));
  require_file(path);
  require(flock(file_, LOCK_EX | LOCK_NB) == 0, path, ": another run writes to it");
  std::ifstream answers(path, std::ios::binary);
  require(answers.is_open(), path, ": cannot be read: ", std::strerror(errno));
  std::string line;
  std::streamoff whole = 0;
  for (int number = 1; std::getline(answers, line); ++number) {
    const bool cut_off = answers.eof();
    if (cut_off && begins_an_answer(line)) break;
    try {
      require(!cut_off && begins_an_answer(line), "it is no answer of a batch");
      answered_.insert(text_at(object_of(line), "custom_id"));
    } catch (const Error& error) {
      throw Error(message(path, ", line ", number, ": ", error.what(), "; nothing was changed"));
    }
    whole += static_cast<std::streamoff>(line.size()) + 1;
  }
  require(!answers.bad(), path, ": cannot be read; nothing was changed");
  require(ftruncate(file_, whole) == 0, path, ": cannot be written: ", std::strerror(errno));
}

BatchOutput::~BatchOutput() { close(file_); }

void BatchOutput::append(const std::string& line) {
  require(failure_.empty(), failure_);
  const off_t before = lseek(file_, 0, SEEK_END);
  size_t written = 0;
  while (written < line.size()) {
    const ssize_t count = write(file_, line.data() + written, line.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      failure_ = message(path_, ": cannot be written: ", std::strerror(errno));
      if (before >= 0 && ftruncate(file_, before) != 0) failure_ += "; its last line is not whole";
      throw Error(failure_);
    }
    written += static_cast<size_t>(count);
  }
}

}  // namespace uhd
