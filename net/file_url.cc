#include "net/file_url.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cerrno>
#include <filesystem>
#include <optional>

#include "base/ascii.h"
#include "base/error.h"
#include "net/data_url.h"

namespace uhd {
namespace {

constexpr std::string_view kScheme = "file:";

class Descriptor {
 public:
  explicit Descriptor(int file) : file_(file) {}
  ~Descriptor() {
    if (file_ >= 0) close(file_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return file_; }

 private:
  int file_;
};

ApiError bad_file(std::string text) { return {400, std::move(text), "", "invalid_image_url"}; }

// Returns the path of the URL within the directory.
std::optional<std::string> path_below(std::string_view url, const std::string& directory) {
  const auto parsed = boost::urls::parse_uri(url);
  if (!parsed || parsed->has_query() || (!parsed->host().empty() && parsed->host() != "localhost"))
    return std::nullopt;
  const std::string path = parsed->path();
  const std::string base = (std::filesystem::path(directory) / "").string();  // ends in a slash
  if (!path.starts_with(base) || path.size() == base.size() || path.find('\0') != std::string::npos)
    return std::nullopt;
  return path.substr(base.size());
}

// A pipe would wait for its other end, so nothing waits here.
int open_beneath(int directory, const std::string& path) {
  open_how how{};
  how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
  return static_cast<int>(syscall(SYS_openat2, directory, path.c_str(), &how, sizeof(how)));
}

std::optional<std::string> read_bytes(int file, size_t size) {
  std::string bytes(size, '\0');
  for (size_t done = 0; done < size;) {
    const ssize_t got = read(file, bytes.data() + done, size - done);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return std::nullopt;  // it became shorter
    done += static_cast<size_t>(got);
  }
  return bytes;
}

}  // namespace

bool is_file_url(std::string_view url) { return lower_ascii(url.substr(0, kScheme.size())) == kScheme; }

std::variant<std::string, ApiError> read_image_file(std::string_view url, const std::string& directory,
                                                    int64_t max_bytes, const TakeBytes& take) {
  const ApiError missing = bad_file("There is no such image below the directory of net.image_directory.");
  const auto path = path_below(url, directory);
  if (!path) return missing;
  const Descriptor base(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  const Descriptor file(base.get() < 0 ? -1 : open_beneath(base.get(), *path));
  struct stat facts {};
  if (file.get() < 0 || fstat(file.get(), &facts) != 0 || !S_ISREG(facts.st_mode)) return missing;
  if (facts.st_size > max_bytes) {
    return ApiError{413, message("The image is larger than the limit of ", max_bytes, " bytes."), "",
                    "image_too_large"};
  }
  if (take && !take(facts.st_size)) {
    return ApiError{503, "The server holds too many large requests at the moment.", "", "overloaded", 1};
  }
  std::optional<std::string> bytes = read_bytes(file.get(), static_cast<size_t>(facts.st_size));
  if (!bytes) return missing;
  if (!is_image_file(*bytes)) return missing;  // nothing of other files is told
  return *std::move(bytes);
}

}  // namespace uhd
