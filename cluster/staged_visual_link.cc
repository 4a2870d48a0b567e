#include "cluster/staged_visual_link.h"

#include <vector>

#include "cluster/visual_rows.h"

namespace uhd {
namespace {

class StagedLink final : public VisualLink {
 public:
  StagedLink(Backend& backend, std::unique_ptr<VisualLink> link, LinkEnd end)
      : backend_(backend), end_(end), link_(std::move(link)) {}

  bool reaches_device() const override { return true; }

  void begin(uint64_t job, Tensor rows) override {
    check_rows(rows);
    if (host_.size() < rows.bytes()) host_.resize(rows.bytes());
    rows_ = rows;
    const Tensor staged = this->staged();
    if (end_ == LinkEnd::sends) backend_.download(staged, rows);
    arriving_ = end_ == LinkEnd::receives;
    link_->begin(job, staged);
  }

  LinkState poll() override {
    const LinkState state = link_->poll();
    if (state == LinkState::done && arriving_) {
      arriving_ = false;
      backend_.upload(rows_, staged());
    }
    return state;
  }

  void abort() override {
    arriving_ = false;
    link_->abort();
  }

  std::string failure() const override { return link_->failure(); }

 private:
  Tensor staged() { return Tensor(host_.data(), rows_.dtype(), rows_.shape()); }

  Backend& backend_;
  const LinkEnd end_;
  std::vector<std::byte> host_;
  Tensor rows_;
  bool arriving_ = false;
  std::unique_ptr<VisualLink> link_;  // gone before the memory that it may be touching
};

}  // namespace

std::unique_ptr<VisualLink> link_for(Backend& backend, std::unique_ptr<VisualLink> link, LinkEnd end) {
  if (link == nullptr || backend.host_memory() || link->reaches_device()) return link;
  return std::make_unique<StagedLink>(backend, std::move(link), end);
}

}  // namespace uhd
