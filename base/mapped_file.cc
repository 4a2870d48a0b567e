#include "base/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"

namespace uhd {

namespace {

constexpr std::string_view kLfsPointer = "version https://git-lfs.github.com/spec/v";

// An Error for a link that leads to nothing.
void require_target(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_symlink(path, error) || std::filesystem::exists(path, error)) return;
  throw Error(message(path.string(), " is a broken link to ",
                      std::filesystem::read_symlink(path, error).string(),
                      ": the file was not downloaded, or has moved"));
}

void require_no_pointer(const std::filesystem::path& path, std::string_view begin) {
  require(!begin.starts_with(kLfsPointer), path.string(),
          " is a Git LFS pointer, not the file itself: run `git lfs pull` where it lies");
}

}  // namespace

bool is_there(const std::filesystem::path& path) {
  std::error_code error;
  const auto type = std::filesystem::symlink_status(path, error).type();
  return type != std::filesystem::file_type::not_found && type != std::filesystem::file_type::none;
}

MappedFile::MappedFile(const std::filesystem::path& path) {
  require_target(path);
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  require(file >= 0, "cannot open ", path.string(), ": ", std::strerror(errno));
  struct stat info {};
  const bool regular = ::fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0;
  void* map = regular ? ::mmap(nullptr, info.st_size, PROT_READ, MAP_SHARED, file, 0) : MAP_FAILED;
  ::close(file);
  require(regular, path.string(), " is not a file with content");
  require(map != MAP_FAILED, "cannot map ", path.string(), ": ", std::strerror(errno));
  data_ = static_cast<const std::byte*>(map);
  size_ = info.st_size;
  modified_ = int64_t{info.st_mtim.tv_sec} * 1'000'000'000 + info.st_mtim.tv_nsec;
  try {
    require_no_pointer(path, {reinterpret_cast<const char*>(data_), size_});
  } catch (...) {
    ::munmap(map, size_);
    throw;
  }
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      modified_(other.modified_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(modified_, other.modified_);
  return *this;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

// Whole pages among the bytes: what lies beside them belongs to others.
void MappedFile::advise(const std::byte* data, size_t bytes, int advice) const {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const size_t begin = (static_cast<size_t>(data - data_) + page - 1) / page * page;
  const size_t end = std::min(static_cast<size_t>(data - data_) + bytes, size_) / page * page;
  if (begin < end) ::madvise(const_cast<std::byte*>(data_) + begin, end - begin, advice);
}

void MappedFile::drop(const std::byte* data, size_t bytes) const { advise(data, bytes, MADV_DONTNEED); }

void MappedFile::read_ahead(const std::byte* data, size_t bytes) const { advise(data, bytes, MADV_WILLNEED); }

std::string read_text_file(const std::filesystem::path& path, size_t max_bytes) {
  require_target(path);
  std::error_code error;
  const auto size = std::filesystem::file_size(path, error);
  require(!error, "cannot read ", path.string(), ": ", error.message());
  require(size <= max_bytes, path.string(), " has ", size, " bytes, more than the limit of ", max_bytes);
  std::ifstream file(path, std::ios::binary);
  std::string text(size, '\0');
  require(static_cast<bool>(file.read(text.data(), static_cast<std::streamsize>(size))), "cannot read ",
          path.string());
  require_no_pointer(path, text);
  return text;
}

}  // namespace uhd
