#include "scheduler/page_pool.h"

#include "base/error.h"

namespace uhd {

PageRef::~PageRef() {
  if (pool_ != nullptr) pool_->release(page_);
}

PageRef PageRef::share() const {
  check(pool_ != nullptr, "an empty page reference cannot be shared");
  ++pool_->holders_[static_cast<size_t>(page_)];
  return PageRef(*pool_, page_);
}

PagePool::PagePool(int pages) {
  check(pages > 0, "a page pool needs pages, not ", pages);
  holders_.assign(static_cast<size_t>(pages), 0);
  free_.reserve(static_cast<size_t>(pages));
  for (int32_t page = pages - 1; page >= 0; --page) free_.push_back(page);
}

PageRef PagePool::take() {
  check(!free_.empty(), "no free page");
  const int32_t page = free_.back();
  free_.pop_back();
  holders_[static_cast<size_t>(page)] = 1;
  return PageRef(*this, page);
}

void PagePool::release(int32_t page) noexcept {
  if (--holders_[static_cast<size_t>(page)] == 0) free_.push_back(page);
}

void PagePool::check_integrity() const {
  std::vector<bool> seen(holders_.size(), false);
  for (int32_t page : free_) {
    const auto i = static_cast<size_t>(page);
    check(!seen[i], "page ", page, " is free twice");
    check(holders_[i] == 0, "page ", page, " is free and held");
    seen[i] = true;
  }
  for (size_t i = 0; i < holders_.size(); ++i) {
    check(holders_[i] >= 0, "page ", i, " was given back too often");
    check(seen[i] || holders_[i] > 0, "page ", i, " is lost");
  }
}

}  // namespace uhd
