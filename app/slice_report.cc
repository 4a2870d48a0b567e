#include "app/slice_report.h"

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <sstream>

#include "model/vision/slice_plan.h"

namespace uhd {
namespace {

namespace json = boost::json;

std::string_view name_of(ImageHeader::Format format) {
  switch (format) {
    case ImageHeader::Format::jpeg:
      return "jpeg";
    case ImageHeader::Format::png:
      return "png";
    default:
      return "webp";
  }
}

std::string text_of(Size size) { return message(size.width, "x", size.height); }
json::value pair_of(Size size) { return {size.width, size.height}; }

json::object piece_of(const SliceReport& report, int index) {
  const SlicePlan& plan = report.plan;
  json::object piece{{"size", pair_of(plan.piece(index))},
                     {"patches", patches_of(plan.piece(index), report.model.slicing.patch)},
                     {"tokens", tokens_of_piece(plan, index, report.model)}};
  if (index < plan.slices()) {
    piece["row"] = index / plan.columns;
    piece["column"] = index % plan.columns;
  }
  if (!report.pieces.empty()) piece["file"] = report.pieces[index];
  return piece;
}

}  // namespace

std::string report_text(const SliceReport& report) {
  const SlicePlan& plan = report.plan;
  const SlicingConfig& slicing = report.model.slicing;
  std::ostringstream text;
  text << "image     " << report.file << ": " << name_of(report.header.format) << ", " << text_of(plan.image)
       << " pixels";
  if (report.header.orientation != 1) text << ", turned upright from " << text_of(report.header.stored);
  text << '\n';
  if (plan.source != plan.image) text << "prescaled " << text_of(plan.source) << '\n';
  if (plan.slices() > 0) {
    text << "grid      " << plan.columns << " columns x " << plan.rows << " rows = " << plan.slices()
         << " slices\n"
         << "cell      " << text_of(plan.cell) << " pixels, " << patches_of(plan.cell, slicing.patch)
         << " patches; the whole is resized to " << text_of(plan.refined) << '\n';
  } else {
    text << "grid      none: the overview alone\n";
  }
  text << "overview  " << text_of(plan.overview) << " pixels, " << patches_of(plan.overview, slicing.patch)
       << " patches\n"
       << "tokens    " << visual_tokens(plan, report.model) << " visual, "
       << separator_tokens(plan, report.model.layout) << " separators; " << total_patches(plan, slicing.patch)
       << " patches in all\n";
  for (const std::string& file : report.pieces) text << "wrote     " << file << '\n';
  if (!report.grid_picture.empty()) text << "wrote     " << report.grid_picture << '\n';
  return text.str();
}

std::string report_json(const SliceReport& report) {
  const SlicePlan& plan = report.plan;
  json::array slices;
  for (int i = 0; i < plan.slices(); ++i) slices.push_back(piece_of(report, i));
  json::object object{{"file", report.file},
                      {"format", name_of(report.header.format)},
                      {"image", pair_of(plan.image)},
                      {"orientation", report.header.orientation},
                      {"source", pair_of(plan.source)},
                      {"columns", plan.columns},
                      {"rows", plan.rows},
                      {"refined", plan.slices() > 0 ? pair_of(plan.refined) : json::value(nullptr)},
                      {"cell", plan.slices() > 0 ? pair_of(plan.cell) : json::value(nullptr)},
                      {"slices", std::move(slices)},
                      {"overview", piece_of(report, plan.slices())},
                      {"visual_tokens", visual_tokens(plan, report.model)},
                      {"separators", separator_tokens(plan, report.model.layout)},
                      {"patches", total_patches(plan, report.model.slicing.patch)}};
  if (!report.grid_picture.empty()) object["grid_picture"] = report.grid_picture;
  return json::serialize(object);
}

}  // namespace uhd
