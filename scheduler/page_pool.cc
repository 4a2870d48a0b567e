#include "scheduler/page_pool.h"

#include "base/error.h"

namespace uhd {

PageRef::~PageRef() {
  if (pool_ != nullptr) pool_->release(page_);
}

PagePool::PagePool(int pages) {
  check(pages > 0, "a page pool needs pages, not ", pages);
  pages_.resize(static_cast<size_t>(pages));
  blank_.reserve(static_cast<size_t>(pages));
  for (int32_t page = pages - 1; page >= 0; --page) blank_.push_back(page);
}

PageRef PagePool::take() {
  check(free() > 0, "no free page");
  if (blank_.empty()) {
    const int32_t page = oldest_;
    remove_idle(page);
    names_.erase(*at(page).name);
    at(page).name.reset();
    blank_.push_back(page);
    ++evictions_;
  }
  const int32_t page = blank_.back();
  blank_.pop_back();
  at(page).holders = 1;
  return PageRef(*this, page);
}

void PagePool::name(const PageRef& page, const Fingerprint& name) {
  Page& named = at(page.page());
  if (named.name || !names_.emplace(name, page.page()).second) return;
  named.name = name;
}

std::optional<PageRef> PagePool::find(const Fingerprint& name) {
  const auto found = names_.find(name);
  if (found == names_.end()) return std::nullopt;
  const int32_t page = found->second;
  if (at(page).holders++ == 0) remove_idle(page);
  return PageRef(*this, page);
}

void PagePool::release(int32_t page) noexcept {
  if (--at(page).holders > 0) return;
  if (at(page).name) {
    push_idle(page);
  } else {
    blank_.push_back(page);
  }
}

void PagePool::push_idle(int32_t page) noexcept {
  at(page).before = newest_;
  at(page).after = kNone;
  (newest_ == kNone ? oldest_ : at(newest_).after) = page;
  newest_ = page;
  ++idle_;
}

void PagePool::remove_idle(int32_t page) noexcept {
  const auto [before, after] = std::pair(at(page).before, at(page).after);
  (before == kNone ? oldest_ : at(before).after) = after;
  (after == kNone ? newest_ : at(after).before) = before;
  --idle_;
}

void PagePool::check_integrity() const {
  std::vector<bool> seen(pages_.size(), false);
  const auto see = [&](int32_t page) {
    check(!seen[static_cast<size_t>(page)], "page ", page, " is free twice");
    check(at(page).holders == 0, "page ", page, " is free and held");
    seen[static_cast<size_t>(page)] = true;
  };
  for (int32_t page : blank_) {
    see(page);
    check(!at(page).name, "page ", page, " is blank and has a name");
  }
  int idle = 0;
  for (int32_t page = oldest_; page != kNone; page = at(page).after, ++idle) {
    see(page);
    check(at(page).name.has_value(), "page ", page, " is kept without a name");
  }
  check(idle == idle_, "named pages that nobody holds are miscounted");
  for (const auto& [name, page] : names_) check(at(page).name == name, "page ", page, " has another name");
  size_t named = 0;
  for (int32_t page = 0; page < total(); ++page) {
    check(at(page).holders >= 0, "page ", page, " was given back too often");
    check(seen[static_cast<size_t>(page)] || at(page).holders > 0, "page ", page, " is lost");
    named += at(page).name ? 1 : 0;
  }
  check(named == names_.size(), "a page's name leads nowhere");
}

}  // namespace uhd
