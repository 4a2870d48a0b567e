#include "model/weights/packed_cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <system_error>

#include "base/archive.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mapped_file.h"
#include "model/weights/checkpoint.h"

namespace uhd {
namespace {

namespace fs = std::filesystem;

constexpr uint32_t kVersion = 1;
constexpr size_t kPage = 4096;  // where data and scales begin: multiples of it
constexpr std::string_view kUnfinished = ".part";

size_t rounded(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// Some bytes from places all over a matrix: a file may change and keep its size and time.
void write_sample(Writer& write, std::vector<std::byte>& text, const Tensor& part) {
  constexpr int64_t kPlaces = 8;
  constexpr int64_t kBytesOfPlace = 32;
  const auto row_bytes = part.row_size() * static_cast<int64_t>(size_of(part.dtype()));
  const auto stride = part.row_stride() * static_cast<int64_t>(size_of(part.dtype()));
  write(part.dtype(), part.rows(), part.row_size(), part.row_stride());
  for (int64_t place = 0; place < std::min(kPlaces, part.rows()); ++place) {
    const auto* row = static_cast<const std::byte*>(part.raw()) + part.rows() * place / kPlaces * stride;
    text.insert(text.end(), row, row + std::min(kBytesOfPlace, row_bytes));
  }
}

// All that the packed bytes follow from; none where a part does not lie in a file.
std::optional<std::vector<std::byte>> origin_of(const Checkpoint& checkpoint, std::span<const Tensor> parts,
                                                const Tensor& whole, int64_t rows, WeightFormat format,
                                                const std::string& layout) {
  std::vector<std::byte> text;
  Writer write(text);
  write(kVersion, layout, format, rows, static_cast<uint64_t>(parts.size()));
  for (const Tensor& part : parts) {
    const auto place = checkpoint.place_of(part);
    if (!place) return {};
    write(place->file, place->size, place->modified, place->offset);
    write_sample(write, text, part);
  }
  if (!whole.empty()) {
    const auto place = checkpoint.place_of(whole);
    if (!place) return {};
    write(place->offset, whole.rows(), whole.row_size(), whole.row_stride());
  }
  return text;
}

// The first page of a file.
std::vector<std::byte> head_of(std::span<const std::byte> origin, PackedSizes sizes) {
  std::vector<std::byte> head;
  const auto digest = sha256(origin);
  Writer{head}(std::string("uhd packed weight"), kVersion, uint64_t{sizes.data}, uint64_t{sizes.scales});
  for (const uint8_t byte : digest) head.push_back(std::byte{byte});
  head.resize(kPage);
  return head;
}

// Returns nothing where there is no file, or another than this one.
std::optional<Weight> read_file(const fs::path& path, std::span<const std::byte> head, PackedSizes sizes,
                                int64_t rows, int64_t width, WeightFormat format) {
  if (!is_there(path)) return {};
  std::shared_ptr<MappedFile> file;
  try {
    file = std::make_shared<MappedFile>(path);
  } catch (const Error&) {
    return {};
  }
  const std::span<const std::byte> bytes = file->bytes();
  if (bytes.size() != kPage + rounded(sizes.data) + sizes.scales ||
      !std::equal(head.begin(), head.end(), bytes.begin())) {
    return {};
  }
  // Nobody writes to a packed weight.
  auto* data = const_cast<std::byte*>(bytes.data()) + kPage;
  Weight weight{format, rows, width, {}, {}};
  weight.data = DeviceBuffer(file, data, sizes.data);
  if (sizes.scales > 0) weight.scales = DeviceBuffer(file, data + rounded(sizes.data), sizes.scales);
  return weight;
}

// A file under a name of its own until it is complete.
class UnfinishedFile {
 public:
  explicit UnfinishedFile(const fs::path& path) : path_(path), name_(path.string() + ".XXXXXX") {
    name_ += kUnfinished;
    file_ = ::mkostemps(name_.data(), static_cast<int>(kUnfinished.size()), O_CLOEXEC);
    if (file_ < 0) fail();
  }
  UnfinishedFile(const UnfinishedFile&) = delete;
  UnfinishedFile& operator=(const UnfinishedFile&) = delete;
  ~UnfinishedFile() {
    if (file_ >= 0) {
      ::close(file_);
      ::unlink(name_.c_str());
    }
  }

  void write(const void* data, size_t bytes) {
    const auto* rest = static_cast<const std::byte*>(data);
    while (bytes > 0) {
      const ssize_t written = ::write(file_, rest, bytes);
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail();
      rest += written;
      bytes -= static_cast<size_t>(written);
    }
  }

  void finish() {
    if (::fdatasync(file_) != 0 || ::rename(name_.c_str(), path_.c_str()) != 0) fail();
    ::close(file_);
    file_ = -1;
  }

 private:
  [[noreturn]] void fail() const { throw std::system_error(errno, std::generic_category(), path_.string()); }

  fs::path path_;
  std::string name_;
  int file_ = -1;
};

// Of writers that were cut off; one that still writes is younger.
void remove_unfinished(const fs::path& directory) {
  constexpr auto kOld = std::chrono::hours(1);
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    if (!entry.path().filename().string().ends_with(kUnfinished)) continue;
    const auto written = entry.last_write_time(error);
    if (!error && fs::file_time_type::clock::now() - written > kOld) fs::remove(entry.path(), error);
  }
}

}  // namespace

PackedCache::PackedCache(const fs::path& directory, std::string layout)
    : directory_(directory), layout_(std::move(layout)) {
  std::error_code error;
  fs::create_directories(directory, error);
  require(!error && fs::is_directory(directory), "model.cache_dir=", directory.string(),
          " is not a directory and cannot be made: ", error.message());
  remove_unfinished(directory);
}

Weight PackedCache::weight(const Checkpoint& checkpoint, std::span<const Tensor> parts, Tensor whole,
                           int64_t rows, WeightFormat format, const Backend& backend,
                           const std::function<Weight()>& pack) {
  const int64_t width = parts.front().row_size();
  const std::optional<PackedSizes> sizes = backend.packed_sizes(rows, width, format);
  const auto origin = sizes ? origin_of(checkpoint, parts, whole, rows, format, layout_) : std::nullopt;
  if (!origin) return pack();
  const std::vector<std::byte> head = head_of(*origin, *sizes);
  const fs::path path = directory_ / (fingerprint({*origin}).hex() + ".weight");
  if (auto kept = read_file(path, head, *sizes, rows, width, format)) return std::move(*kept);
  Weight weight = pack();
  keep(path, head, weight);
  return weight;
}

void PackedCache::keep(const fs::path& path, std::span<const std::byte> head, const Weight& weight) {
  if (full_) return;
  try {
    UnfinishedFile file(path);
    file.write(head.data(), head.size());
    file.write(weight.data.data(), weight.data.bytes());
    const std::vector<std::byte> gap(rounded(weight.data.bytes()) - weight.data.bytes());
    file.write(gap.data(), gap.size());
    file.write(weight.scales.data(), weight.scales.bytes());
    file.finish();
  } catch (const std::system_error& error) {
    if (!full_.exchange(true))
      log_warning("packed weights are not kept for the next start", "because", error.what());
  }
}

}  // namespace uhd
