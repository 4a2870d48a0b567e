#include "grammar/job.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/error.h"

namespace uhd {

std::vector<std::byte> read_whole(int file) {
  struct stat facts {};
  require(fstat(file, &facts) == 0, "the size of a file in memory cannot be read");
  std::vector<std::byte> bytes(static_cast<size_t>(facts.st_size));
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t got = pread(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (got < 0 && errno == EINTR) continue;
    require(got > 0, "a file in memory cannot be read");
    done += static_cast<size_t>(got);
  }
  return bytes;
}

void write_whole(int file, const std::vector<std::byte>& bytes) {
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t put = pwrite(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (put < 0 && errno == EINTR) continue;
    require(put > 0, "a file in memory cannot be written");
    done += static_cast<size_t>(put);
  }
}

}  // namespace uhd
