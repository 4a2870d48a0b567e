#include "app/slice_report.h"

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <cmath>
#include <iomanip>
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

// Says how many pixels of the picture become one: "4.3 pixels become one in each direction".
std::string scale_text(Scale scale) {
  const auto one = [](double pixels) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(1);
    if (pixels <= 1) {
      text << 1 / pixels << " pixels become one";
    } else {
      text << "one pixel becomes " << pixels;
    }
    return text.str();
  };
  if (scale.across == 1 && scale.down == 1) return "each pixel is seen as it is";
  if (std::max(std::abs(scale.across - 1), std::abs(scale.down - 1)) < 0.05) return "about pixel by pixel";
  if (std::abs(std::log(scale.across / scale.down)) < 0.03) {
    return one(std::sqrt(scale.across * scale.down)) + " in each direction";
  }
  return one(scale.across) + " across, and " + one(scale.down) + " down";
}

}  // namespace

std::vector<std::string> report_sentences(const SliceReport& report) {
  const SlicePlan& plan = report.plan;
  const SlicingConfig& slicing = report.model.slicing;
  const ImageLayout& layout = report.model.layout;
  const std::string first = message(plan.image.width, " × ", plan.image.height, " pixels, as ",
                                    name_of(report.model.family), " sees them: ");
  const std::string grid =
      plan.slices() == 0 ? "the overview alone."
                         : message(plan.slices(), " slices in ", plan.columns,
                                   plan.columns == 1 ? " column and " : " columns and ", plan.rows,
                                   plan.rows == 1 ? " row, and an overview." : " rows, and an overview.");
  const int separators = separator_tokens(plan, layout), around = wrapping_tokens(plan, layout);
  std::string tokens = message(visual_tokens(plan, report.model) + separators + around,
                               " tokens: ", visual_tokens(plan, report.model), " visual");
  if (separators > 0) tokens += message(", ", separators, " between slices and after rows");
  if (around > 0) tokens += message(", ", around, " around pieces");
  std::string scale = scale_text(scale_of(plan, slicing));
  if (slicing.kind == SlicingConfig::Kind::pad_square) scale += ", and the rest of the square is filled";
  if (slicing.kind == SlicingConfig::Kind::centre_crop)
    scale += ", and what is not in the middle square is lost";
  return {first + grid, tokens + ".", "Scale: " + scale + "."};
}

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
  if (plan.trimmed > 0) {
    text << "trimmed   " << plan.trimmed
         << " pixels right of and below each piece, where no whole patch is\n";
  }
  text << "overview  " << text_of(plan.overview) << " pixels, " << patches_of(plan.overview, slicing.patch)
       << " patches\n"
       << "scale     " << scale_text(scale_of(plan, slicing)) << '\n'
       << "tokens    " << visual_tokens(plan, report.model) << " visual, "
       << separator_tokens(plan, report.model.layout) << " separators, "
       << wrapping_tokens(plan, report.model.layout) << " around pieces; "
       << total_patches(plan, slicing.patch) << " patches in all\n";
  for (const std::string& file : report.pieces) text << "wrote     " << file << '\n';
  if (!report.contact_sheet.empty()) text << "wrote     " << report.contact_sheet << '\n';
  return text.str();
}

std::string report_json(const SliceReport& report) {
  const SlicePlan& plan = report.plan;
  json::array slices;
  for (int i = 0; i < plan.slices(); ++i) slices.push_back(piece_of(report, i));
  json::object object{
      {"file", report.file},
      {"format", name_of(report.header.format)},
      {"image", pair_of(plan.image)},
      {"orientation", report.header.orientation},
      {"source", pair_of(plan.source)},
      {"columns", plan.columns},
      {"rows", plan.rows},
      {"refined", plan.slices() > 0 ? pair_of(plan.refined) : json::value(nullptr)},
      {"cell", plan.slices() > 0 ? pair_of(plan.cell) : json::value(nullptr)},
      {"slices", std::move(slices)},
      {"trimmed", plan.trimmed},
      {"overview", piece_of(report, plan.slices())},
      {"visual_tokens", visual_tokens(plan, report.model)},
      {"separators", separator_tokens(plan, report.model.layout)},
      {"wrapping", wrapping_tokens(plan, report.model.layout)},
      {"scale", {scale_of(plan, report.model.slicing).across, scale_of(plan, report.model.slicing).down}},
      {"patches", total_patches(plan, report.model.slicing.patch)}};
  if (!report.contact_sheet.empty()) object["contact_sheet"] = report.contact_sheet;
  return json::serialize(object);
}

}  // namespace uhd
