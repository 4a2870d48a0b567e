#include "cluster/host/visual_rows.h"

#include "base/archive.h"
#include "cluster/frame.h"
#include "cluster/visual_link.h"

namespace uhd {
namespace {

struct RowsHeader {
  uint64_t job = 0;
  uint32_t rows = 0;
  uint32_t width = 0;
  DType dtype = DType::f32;
  bool operator==(const RowsHeader&) const = default;
};
template <class A>
void serialize(A& archive, RowsHeader& h) {
  archive(h.job, h.rows, h.width, h.dtype);
}

RowsHeader header_of(uint64_t job, Tensor rows) {
  return {job, static_cast<uint32_t>(rows.dim(0)), static_cast<uint32_t>(rows.dim(1)), rows.dtype()};
}

std::string words(const RowsHeader& h) {
  return message("job ", h.job, ": ", h.rows, " rows of ", h.width, " ", name_of(h.dtype));
}

}  // namespace

void check_rows(Tensor rows) {
  check(rows.rank() == 2 && rows.dense() && rows.dim(0) > 0 && rows.dim(1) > 0 &&
            (rows.dtype() == DType::f32 || rows.dtype() == DType::bf16),
        "a link moves dense [rows, width] tensors of f32 or bf16");
  check(rows.bytes() <= kMaxTransferBytes, "a transfer of ", rows.bytes(), " bytes is over the limit of ",
        kMaxTransferBytes);
}

std::vector<std::byte> write_rows(uint64_t job, Tensor rows) {
  check_rows(rows);
  std::vector<std::byte> header;
  Writer write(header);
  write(header_of(job, rows));
  return write_frame(FrameType::visual_rows, header,
                     {static_cast<const std::byte*>(rows.raw()), rows.bytes()});
}

void read_rows(std::span<const std::byte> payload, uint64_t job, Tensor rows) {
  check_rows(rows);
  RowsHeader came;
  Reader read(payload);
  read(came);
  const RowsHeader agreed = header_of(job, rows);
  require(came == agreed, "rows came that were not agreed: ", words(came), " instead of ", words(agreed));
  require(read.left() == rows.bytes(), words(came), " came with ", read.left(), " bytes");
  std::memcpy(rows.raw(), payload.data() + kRowsHeaderBytes, rows.bytes());
}

uint64_t job_of_rows(std::span<const std::byte> payload) {
  uint64_t job = 0;
  Reader read(payload);
  read(job);
  return job;
}

}  // namespace uhd
