// Reads whole files, as a read-only memory map or as text. A stand-in for a file that was not downloaded (a
// Git LFS pointer, a link to nothing) is an Error that says so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>

namespace uhd {

// A MappedFile owns its map and is move-only. The bytes stay valid for its lifetime. An unreadable or empty
// file is an Error that names the path.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  ~MappedFile();

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Returns when the file was changed last, in nanoseconds, as it was opened.
  int64_t modified() const { return modified_; }
  // Takes the whole pages among these bytes of the map out of the process's memory; the map stays as it is.
  void drop(const std::byte* data, size_t bytes) const;
  // Lets the system read these bytes of the file into its cache, and does not wait for it.
  void read_ahead(const std::byte* data, size_t bytes) const;

 private:
  void advise(const std::byte* data, size_t bytes, int advice) const;

  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t modified_ = 0;
};

// Returns true if a file or a link of this name exists. The link may lead to nothing; reading it then says
// so.
bool is_there(const std::filesystem::path& path);

// Returns the whole file as text. The limit keeps a wrong path from filling the memory.
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes = size_t{256} << 20);

}  // namespace uhd
