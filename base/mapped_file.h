// Reads whole files, as a read-only memory map or as text. A stand-in for a file that was not downloaded (a
// Git LFS pointer, a link to nothing) is an Error that says so.
#pragma once

#include <cstddef>
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

 private:
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

// Returns true if a file or a link of this name exists. The link may lead to nothing; reading it then says
// so.
bool is_there(const std::filesystem::path& path);

// Returns the whole file as text. The limit keeps a wrong path from filling the memory.
std::string read_text_file(const std::filesystem::path& path, size_t max_bytes = size_t{256} << 20);

}  // namespace uhd
